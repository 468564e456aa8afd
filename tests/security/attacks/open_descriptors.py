# Looks for descriptors that were left open.
# verdict: COMPLETED
# prints: odd []
import os, stat
odd = []
listing = os.open("/proc/self/fd", os.O_RDONLY)
for name in os.listdir(listing):
    number = int(name)
    try:
        status = os.fstat(number)
    except OSError:
        continue
    if number <= 3 or number == listing:
        continue
    path = os.readlink(f"/proc/self/fd/{number}")
    if not path.startswith(("/proc/", "/dev/null", "/usr/", "/opt/", "/tmp/", "/mnt/data")) or stat.S_ISSOCK(status.st_mode):
        odd.append((number, path))
for number in range(3):
    if stat.S_ISDIR(os.fstat(number).st_mode) or stat.S_ISSOCK(os.fstat(number).st_mode):
        odd.append(number)
print("odd", odd)
