# Fills the workspace with a file that has no name any more.
# limits: workspace_bytes=8388608
# verdict: RAISED OSError
# errno: 28
# touched: LIMIT_WORKSPACE
# state: kept
import os
held = open("/mnt/data/held.bin", "wb", buffering=0)
os.unlink("/mnt/data/held.bin")
while True:
    held.write(b"x" * (1 << 20))
