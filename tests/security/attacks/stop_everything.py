# Stops every process it can reach, its keeper among them.
# verdict: COMPLETED
# state: kept
# prints: still here
import os, signal
try:
    os.kill(-1, signal.SIGSTOP)
except (ProcessLookupError, PermissionError):
    pass
print("still here")
