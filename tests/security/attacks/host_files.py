# Looks for the host's files.
# verdict: COMPLETED
# prints: found []
import os
paths = ["/root", "/home", "/var/lib", "/var/log", "/var/run", "/run", "/boot", "/srv", "/sys", "/work", "/etc/ssh",
         "/etc/machine-id", "/lost+found", "/host", "/old", "/.old"]
found = []
for path in paths:
    try:
        if os.listdir(path):
            found.append(path)
    except NotADirectoryError:
        try:
            open(path).close()
            found.append(path)
        except OSError:
            pass
    except OSError:
        pass
# Above the root there is only the root.
own = os.stat("/")
for step in range(2, 12):
    above = os.stat("/mnt/data" + "/.." * step)
    if (above.st_dev, above.st_ino) != (own.st_dev, own.st_ino):
        found.append(step)
try:
    with open("/etc/hostname") as file:
        if file.read().strip() != "carrel":
            found.append("/etc/hostname")
except PermissionError:
    pass
print("found", found)
