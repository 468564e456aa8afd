# Tries to end the first process of its pid namespace, and with it the session's keeper.
# verdict: COMPLETED
# state: kept
# prints: still here
import os, signal, time
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV):
    try:
        os.kill(1, number)
    except PermissionError:
        pass
time.sleep(0.2)
os.kill(os.getpid(), 0)
print("still here", len(os.listdir("/mnt/data")))
