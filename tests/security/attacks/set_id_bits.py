# Copies a program, gives it set-id bits, and starts it to become somebody else.
# verdict: COMPLETED
# prints: same uid True
import os, shutil, subprocess
shutil.copy("/usr/bin/id", "/mnt/data/id")
os.chmod("/mnt/data/id", 0o6755)
try:
    shown = subprocess.run(["/mnt/data/id", "-u"], capture_output=True, text=True).stdout.strip()
except PermissionError:
    shown = str(os.getuid())
print("same uid", shown == str(os.getuid()))
