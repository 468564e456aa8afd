# Ignores SIGINT and spins.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    pass
