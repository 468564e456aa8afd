# matplotlib draws and saves PNG, SVG and PDF.
# artifact: plot.png
# artifact: plot.svg
# artifact: plot.pdf
# verdict: COMPLETED
# state: kept
# prints: twin ok
import matplotlib.pyplot as plot
figure, axes = plot.subplots()
axes.plot([1, 2, 3], [3, 1, 2], label="values")
axes.set_title("Übung $x^2$")
axes.legend()
for kind in ("png", "svg", "pdf"):
    figure.savefig(f"plot.{kind}")
plot.close(figure)
assert open("plot.png", "rb").read(4) == b"\x89PNG" and open("plot.pdf", "rb").read(4) == b"%PDF"
print("twin ok")
