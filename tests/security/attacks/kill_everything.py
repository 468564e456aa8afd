# Sends SIGKILL to every process it can reach.
# verdict: COMPLETED
# state: kept
# prints: still here
import os, signal
try:
    os.kill(-1, signal.SIGKILL)
except (ProcessLookupError, PermissionError):
    pass
print("still here")
