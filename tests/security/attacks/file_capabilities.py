# Gives a program capabilities by an extended attribute, and starts it.
# verdict: COMPLETED
# prints: gained []
import os, shutil, struct, subprocess
gained = []
shutil.copy("/usr/bin/cat", "/mnt/data/cat")
os.chmod("/mnt/data/cat", 0o755)
for name in ("security.capability", "trusted.overlay.opaque", "security.ima"):
    try:
        os.setxattr("/mnt/data/cat", name, struct.pack("<5I", 0x02000001, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
        gained.append(name)
    except OSError:
        pass
status = subprocess.run(["/mnt/data/cat", "/proc/self/status"], capture_output=True, text=True).stdout
effective = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
if effective not in ([], ["0000000000000000"]):
    gained.append(effective)
print("gained", gained)
