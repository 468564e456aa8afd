# A timer every 50 microseconds, with a handler in Python, goes on when the call is over.
# verdict: COMPLETED
# state: kept
# prints: armed
import signal
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
print("armed")
