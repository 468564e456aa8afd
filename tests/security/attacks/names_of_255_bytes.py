# Names as long as names can be, sixteen deep, longer than a path may be in a message.
# verdict: COMPLETED
# skipped: too deep | scan limit
# state: kept
import os
os.chdir("/mnt/data")
for _ in range(20):
    os.mkdir("d" * 255)
    os.chdir("d" * 255)
open("f" * 255, "w").close()
os.chdir("/mnt/data")
