# Shows things that are not what their media type says.
# verdict: COMPLETED | RAISED
# state: kept
from IPython.display import display
for value in (None, 7, object(), {1: {2: object()}}, b"\xff", [float("nan")], "not base64!"):
    try:
        display({"image/png": value, "text/plain": value}, raw=True)
    except Exception:
        pass
