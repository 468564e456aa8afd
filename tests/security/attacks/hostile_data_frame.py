# A table whose cells, names and styles are scripts and surprises, with thousands of columns.
# limits: output_bytes=1048576 display_bytes=1048576
# verdict: COMPLETED | RAISED | OUTPUT_LIMIT
# stdout-max: 2097152
import numpy, pandas
class Cell:
    def __repr__(self):
        return "<script>alert(1)</script>" * 1000
    __str__ = _repr_html_ = __repr__
    def __format__(self, how):
        raise SystemExit(5)
pandas.set_option("display.max_columns", None, "display.max_rows", None, "display.max_colwidth", None)
display(pandas.DataFrame({"<img src=x onerror=alert(1)>" * 1000: [Cell()] * 20}))
display(pandas.DataFrame(numpy.zeros((2, 3000))))
