# Leaves the interpreter no room to call anything.
# verdict: COMPLETED | RAISED RecursionError
# state: kept
import sys
for limit in range(20, 200):
    try:
        sys.setrecursionlimit(limit)
        break
    except RecursionError:
        pass
