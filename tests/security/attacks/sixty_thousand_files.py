# As many files as the workspace holds, to make the scan long.
# limits: wall_ms=30000
# verdict: COMPLETED
# touched: LIMIT_ARTIFACTS
# skipped: scan limit
# state: kept
for number in range(60_000):
    open(f"/mnt/data/{number:05}.txt", "w").close()
