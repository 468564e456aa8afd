# Changes the system's files.
# verdict: COMPLETED
# prints: changed []
import os, sys
changed = []
for path in ("/usr/x", "/usr/lib/python3/dist-packages/x.pth", "/etc/passwd", "/etc/ld.so.preload", "/x", "/opt/carrel/driver/x.py",
             "/opt/carrel/driver/driver.py", os.__file__, "/usr/bin/python3", "/dev/x", "/proc/x", "/mnt/x"):
    try:
        with open(path, "a") as file:
            file.write("x")
        changed.append(path)
    except OSError:
        pass
    for change in (os.unlink, lambda p: os.chmod(p, 0o777), lambda p: os.rename(p, p + "~")):
        try:
            change(path)
            changed.append(path)
        except OSError:
            pass
print("changed", changed)
