# Makes more files than are ever reported.
# limits: artifacts=16
# verdict: COMPLETED
# touched: LIMIT_ARTIFACTS
# state: kept
for number in range(5000):
    open(f"/mnt/data/{number:05}.txt", "w").close()
