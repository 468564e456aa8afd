# Reads what the kernel tells of connections, interfaces and routes.
# verdict: COMPLETED
# prints: seen []
# confined-prints: seen
import os
seen = []
for name in ("tcp", "tcp6", "udp", "udp6", "raw", "packet", "route", "arp"):
    try:
        with open(f"/proc/net/{name}") as table:
            seen += [name] * (len(table.readlines()) - 1)
    except OSError:
        pass
try:
    with open("/proc/net/dev") as table:
        seen += [line.split(":")[0].strip() for line in table.readlines()[2:] if "lo:" not in line]
except OSError:
    pass
print("seen", seen)
