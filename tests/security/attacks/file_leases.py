# Takes leases on what it leaves behind, so that whoever opens it waits for its leave; and asks to be told of it.
# verdict: COMPLETED
# artifact: leased.txt
# prints: leases []
import fcntl, os
with open("/mnt/data/leased.txt", "w") as file:
    file.write("x" * 100)
leases = []
for flags, kind in ((os.O_RDWR, fcntl.F_WRLCK), (os.O_RDONLY, fcntl.F_RDLCK)):
    fd = os.open("/mnt/data/leased.txt", flags)
    try:
        fcntl.fcntl(fd, 1024, kind)  # F_SETLEASE
        leases.append(kind)
    except OSError:
        pass
    fcntl.lockf(os.open("/mnt/data/leased.txt", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pass
print("leases", leases)
