# Blocks every signal and sleeps.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
time.sleep(1000)
