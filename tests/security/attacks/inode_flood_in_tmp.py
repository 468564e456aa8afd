# Makes files in /tmp without end.
# verdict: RAISED OSError
# errno: 28
# state: kept
import itertools
for number in itertools.count():
    open(f"/tmp/{number}", "w").close()
