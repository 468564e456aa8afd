# Forks without end, and so do the children.
# limits: processes=32 wall_ms=5000
# verdict: RAISED BlockingIOError | TIME_LIMIT
# touched: LIMIT_PROCESSES
import os
while True:
    os.fork()
