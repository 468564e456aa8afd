# Puts addresses that are no functions in the place of signal handlers, and ignores what can be ignored.
# limits: wall_ms=300
# verdict: SIGNALLED | TIME_LIMIT
import ctypes, time
libc = ctypes.CDLL(None)
for number in range(1, 65):
    libc.signal(number, ctypes.c_void_p(1 if number != 2 else 0xDEAD))
while True:
    time.sleep(0.01)
