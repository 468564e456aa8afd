# Takes a handle of its keeper, and signals it through that.
# verdict: COMPLETED
# prints: still here
import os, signal
try:
    handle = os.pidfd_open(1)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
except OSError:
    pass
print("still here")
