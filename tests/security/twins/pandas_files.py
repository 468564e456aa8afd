# pandas reads and writes CSV, pickle, Parquet and Excel.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import pandas
table = pandas.DataFrame({"n": range(1000), "t": ["a", "b"] * 500, "w": pandas.date_range("2024-01-01", periods=1000)})
table.to_csv("t.csv", index=False)
assert len(pandas.read_csv("t.csv")) == 1000
table.to_pickle("t.pkl")
assert pandas.read_pickle("t.pkl").equals(table)
table.to_parquet("t.parquet")
assert pandas.read_parquet("t.parquet")["n"].sum() == 499500
table.head(20).to_excel("t.xlsx", index=False)
assert len(pandas.read_excel("t.xlsx")) == 20
print("twin ok")
