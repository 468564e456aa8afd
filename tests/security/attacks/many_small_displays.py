# Shows twenty thousand things.
# limits: display_bytes=65536 wall_ms=30000
# verdict: COMPLETED | TIME_LIMIT
# touched: LIMIT_DISPLAY
# state: kept
from IPython.display import display
for number in range(20_000):
    display({"text/plain": "x" * 10}, raw=True)
