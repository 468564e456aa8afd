# Leaves a daemon behind, in a session of its own, without a parent, that ignores every signal it can.
# verdict: COMPLETED
# prints: left
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            time.sleep(1)
    os._exit(0)
print("left")
