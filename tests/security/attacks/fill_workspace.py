# Fills the workspace.
# limits: workspace_bytes=8388608
# verdict: RAISED OSError
# errno: 28
# touched: LIMIT_WORKSPACE
# state: kept
with open("/mnt/data/fill.bin", "wb", buffering=0) as file:
    while True:
        file.write(b"x" * (1 << 20))
