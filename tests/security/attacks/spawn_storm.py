# Starts programs with posix_spawn until no more start.
# limits: processes=32
# verdict: RAISED BlockingIOError
# touched: LIMIT_PROCESSES
# state: kept
import os
while True:
    os.posix_spawn("/usr/bin/sleep", ["sleep", "1000"], os.environ)
