# Makes files without end.
# limits: workspace_files=200
# verdict: RAISED OSError
# errno: 28
# touched: LIMIT_WORKSPACE
# state: kept
import itertools
for number in itertools.count():
    open(f"/mnt/data/{number}", "w").close()
