# Moves and removes the directory it works in.
# verdict: COMPLETED
# state: kept
# prints: changed []
import os
changed = []
for change in (lambda: os.rename("/mnt/data", "/mnt/other"), lambda: os.rmdir("/mnt/data"),
               lambda: os.symlink("/tmp", "/mnt/data/../link")):
    try:
        change()
        changed.append("yes")
    except OSError:
        pass
print("changed", changed)
