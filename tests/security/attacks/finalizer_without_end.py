# Ends with objects whose finalizers never end, and a non-daemon thread that waits for ever.
# limits: wall_ms=1000
# verdict: EXITED | TIME_LIMIT | COMPLETED
import atexit, sys, threading, time
class Never:
    def __del__(self):
        while True:
            time.sleep(1)
never = Never()
never.itself = never
atexit.register(lambda: time.sleep(3600))
threading.Thread(target=lambda: time.sleep(3600)).start()
sys.exit(9)
