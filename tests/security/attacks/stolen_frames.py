# Reads the driver's channel in its place, and duplicates it into a child that goes on doing so.
# limits: wall_ms=3000
# verdict: COMPLETED
import os
copy = os.dup(3)
if os.fork() == 0:
    while True:
        try:
            os.read(copy, 4096) or os._exit(0)
        except OSError:
            os._exit(0)
os.set_blocking(copy, False)
try:
    os.read(copy, 65536)
except OSError:
    pass
