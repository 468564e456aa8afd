# Stops itself, so that nothing it is asked is ever done.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import os, signal
os.kill(os.getpid(), signal.SIGSTOP)
