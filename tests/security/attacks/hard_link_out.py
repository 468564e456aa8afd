# Makes a hard link to a file outside of the workspace.
# verdict: RAISED OSError | RAISED PermissionError
# state: kept
import os
os.link("/etc/passwd", "/mnt/data/passwd.txt")
