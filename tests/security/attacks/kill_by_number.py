# Signals every process number there is.
# verdict: COMPLETED
# state: kept
# prints: reached []
import os, signal
reached = []
for pid in range(2, 70000):
    if pid == os.getpid():
        continue
    try:
        os.kill(pid, signal.SIGTERM)
        reached.append(pid)
    except (ProcessLookupError, PermissionError):
        pass
print("reached", reached)
