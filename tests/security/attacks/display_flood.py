# Shows more than may be shown.
# limits: display_bytes=65536
# verdict: COMPLETED
# touched: LIMIT_DISPLAY
# state: kept
from IPython.display import HTML, display
for _ in range(50):
    display(HTML("x" * 100_000))
