# Makes children that end and are never waited for.
# limits: processes=32
# verdict: RAISED BlockingIOError
# touched: LIMIT_PROCESSES
# state: kept
import os
while True:
    if os.fork() == 0:
        os._exit(0)
