# A thread that never gives the interpreter's lock back: the interrupt is noted, and nobody can act on it.
# limits: wall_ms=300
# verdict: TIME_LIMIT
import sys, threading, time
sys.setswitchinterval(1e9)
def spin():
    while True:
        pass
threading.Thread(target=spin, daemon=True).start()
time.sleep(60)
