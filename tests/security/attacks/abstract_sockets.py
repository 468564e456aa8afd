# Looks for abstract sockets of the host and of other sessions.
# verdict: COMPLETED
# prints: seen []
import socket
try:
    with open("/proc/net/unix") as table:
        names = [line.split()[7] for line in table.readlines()[1:] if len(line.split()) > 7]
except OSError:
    names = []
reached = []
for name in [n for n in names if n.startswith("@")] + ["@/org/example/bus", "@/tmp/.X11-unix/X0"]:
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect("\0" + name[1:])
        reached.append(name)
    except OSError:
        pass
print("seen", reached)
