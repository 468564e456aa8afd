# Turns the interrupt into an exception of its own, which says nothing of time.
# limits: wall_ms=400
# verdict: TIME_LIMIT
# state: kept
import signal
def handler(*_):
    raise ValueError("nothing happened")
signal.signal(signal.SIGINT, handler)
while True:
    pass
