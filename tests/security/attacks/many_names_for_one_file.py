# One file of 4 MB under 200 names, each of which would be returned.
# return: bytes
# limits: artifact_bytes=16777216
# verdict: COMPLETED
# touched: LIMIT_ARTIFACTS
# skipped: too large
# state: kept
import os
with open("/mnt/data/0.bin", "wb") as file:
    file.write(b"x" * (4 << 20))
for number in range(1, 200):
    os.link("/mnt/data/0.bin", f"/mnt/data/{number}.bin")
