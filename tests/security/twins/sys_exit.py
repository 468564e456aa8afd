# sys.exit keeps the session, as in a notebook.
# verdict: EXITED 3
# state: kept
# prints: twin ok
import sys
print("twin ok")
sys.exit(3)
