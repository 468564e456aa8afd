# Shows a thing of ten thousand media types, with names of a megabyte, that are no names.
# verdict: COMPLETED
# state: kept
from IPython.display import display
display({f"x/{number}": "y" for number in range(10_000)}, raw=True)
display({"x" * (1 << 20): "y", "": "z", "\x00\ud800": "w", "text/plain": "p"}, raw=True)
