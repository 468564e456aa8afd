# Waits in the C library for a signal that never comes; the C library goes on waiting after every other.
# limits: wall_ms=400
# verdict: TIME_LIMIT
# state: dead
import signal
signal.sigwait([signal.SIGUSR1])
