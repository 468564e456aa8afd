"""Hundreds of small programs with asserts, whose verdicts must be those of plain python3; and a few heavy workloads.

usage: programs_test.py BIN [PROGRAMS]
"""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from carrel_serve import Serve
from programs import programs

BIN = sys.argv.pop(1) if len(sys.argv) > 1 else "build/bin"
COUNT = int(os.environ.get("CARREL_TEST_PROGRAMS", "480"))
# The session's Python: the same version without the jail, with the packages of the runtime.
PYTHON = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC",
          "PYTHONPATH": str(pathlib.Path(BIN).resolve().parent / "share/carrel/runtimes/python/site-packages")}
AT_ONCE = 2
sys.path.append(PYTHON["PYTHONPATH"])  # the right values of the asserts are computed here

CSV = """import pandas as pd, numpy as np, os, time
rows = 2_900_000
rng = np.random.default_rng(1)
frame = pd.DataFrame({"key": rng.integers(0, 1000, rows), "x": rng.normal(size=rows).round(6),
                      "y": rng.random(rows).round(6), "name": np.char.add("row", (np.arange(rows) % 5000).astype(str))})
frame.to_csv("large.csv")
size = os.path.getsize("large.csv")
back = pd.read_csv("large.csv", index_col=0)
table = back.groupby("key").agg({"x": "mean", "y": "max"})
print(size > 100_000_000, len(back) == rows, len(table))
os.unlink("large.csv")
"""
PLOT = """import numpy as np, matplotlib.pyplot as plt
x, y = np.meshgrid(np.linspace(-3, 3, 200), np.linspace(-3, 3, 200))
figure = plt.figure(figsize=(10, 8))
axes = figure.add_subplot(projection="3d")
axes.plot_surface(x, y, np.sin(x * y), cmap="viridis", rcount=120, ccount=120)
for kind in ("png", "svg", "pdf"):
    figure.savefig(f"surface.{kind}", dpi=150)
plt.close(figure)
import os
print([os.path.getsize(f"surface.{kind}") > 20_000 for kind in ("png", "svg", "pdf")])
"""
FOREST = """from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
x, y = make_classification(4000, 20, n_informative=8, random_state=1)
print(cross_val_score(RandomForestClassifier(120, random_state=1, n_jobs=2), x, y, cv=3).mean() > 0.85)
"""
OFFICE = """import docx, openpyxl, pptx, xlsxwriter
from openpyxl.chart import BarChart, Reference
book = openpyxl.Workbook()
sheet = book.active
for row in range(20_000):
    sheet.append([row, row * 1.5, f"text {row}"])
chart = BarChart()
chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=20))
sheet.add_chart(chart, "E2")
book.save("book.xlsx")
print(openpyxl.load_workbook("book.xlsx", read_only=True).active.max_row)
with xlsxwriter.Workbook("quick.xlsx") as quick:
    quick.add_worksheet("one").write_row(0, 0, range(100))
document = docx.Document()
document.add_heading("Report", 0)
for number in range(300):
    document.add_paragraph(f"Paragraph {number} of the report.")
table = document.add_table(rows=50, cols=4)
for row in table.rows:
    for cell in row.cells:
        cell.text = "x"
document.save("report.docx")
print(len(docx.Document("report.docx").paragraphs))
slides = pptx.Presentation()
for number in range(20):
    slides.slides.add_slide(slides.slide_layouts[1]).shapes.title.text = f"Slide {number}"
slides.save("slides.pptx")
print(len(pptx.Presentation("slides.pptx").slides))
"""
HEAVY = [("a CSV of 100 MB", CSV, "True True 1000\n"), ("a surface in three dimensions", PLOT, "[True, True, True]\n"),
         ("a random forest", FOREST, "True\n"), ("xlsx, docx and pptx", OFFICE, "20000\n301\n20\n")]


def plainly(source):
    """What python3 says of it: (passed, stdout, last line of stderr)."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "program.py"
        path.write_text(source)
        done = subprocess.run(["/usr/bin/python3", "-s", "-B", str(path)], capture_output=True, text=True, cwd=directory,
                              env=PYTHON, stdin=subprocess.DEVNULL, timeout=120)
    return verdict(done)


def verdict(done):
    last = (done.stderr.strip().splitlines() or [""])[-1]
    # The path that a message may begin with is not the program's.
    return done.returncode == 0, done.stdout, last.split(":")[0] if "Error" in last else ""


class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.serve = Serve(BIN)
        cls.addClassCleanup(cls.serve.__exit__)
        cls.serve.start()

    def test_verdicts_are_those_of_python(self):
        def compare(program):
            name, source = program
            with tempfile.NamedTemporaryFile("w", suffix=".py", dir=self.serve.work) as file:
                file.write(source)
                file.flush()
                return name, source, plainly(source), verdict(self.serve.run("run", file.name))

        passed = failed = 0
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for name, source, wanted, got in pool.map(compare, programs(COUNT)):
                self.assertEqual(got, wanted, f"{name}:\n{source}")
                passed, failed = passed + wanted[0], failed + (not wanted[0])
        self.assertGreater(passed, COUNT // 4)
        self.assertGreater(failed, COUNT // 4)
        print(f"{passed} programs passed and {failed} failed, in the jail as in python3", flush=True)

    def test_heavy_workloads_finish(self):
        for name, source, wanted in HEAVY:
            with self.subTest(name):
                done = self.serve.run("run", "--limit", "memory_bytes=2147483648", "--limit", "wall_ms=240000", "--limit",
                                      "cpu_ms=240000", "-c", source, timeout=300)
                self.assertEqual((done.returncode, done.stdout), (0, wanted), done.stderr)


if __name__ == "__main__":
    unittest.main()
