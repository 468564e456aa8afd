# A tree of ten thousand directories.
# limits: wall_ms=30000
# verdict: COMPLETED
# skipped: scan limit
# state: kept
import os
for number in range(10_000):
    os.makedirs(f"/mnt/data/{number % 10}/{number // 10 % 10}/{number // 100 % 10}/{number}", exist_ok=True)
