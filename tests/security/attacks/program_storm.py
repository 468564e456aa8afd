# Starts other programs until no more start.
# limits: processes=32
# verdict: RAISED BlockingIOError
# touched: LIMIT_PROCESSES
import subprocess
children = []
while True:
    children.append(subprocess.Popen(["sleep", "1000"]))
