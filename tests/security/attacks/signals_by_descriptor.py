# Lets the kernel send the signal in its place: a descriptor owned by another process or group, on which something happens.
# verdict: COMPLETED
# state: kept
# prints: still here
import ctypes, fcntl, os, signal, socket
signal.signal(signal.SIGIO, signal.SIG_IGN)
signal.signal(signal.SIGURG, signal.SIG_IGN)
a, b = socket.socketpair()
for target in [1, os.getppid(), -os.getpgrp(), -1] + list(range(2, 200)):
    for option, value in ((10, signal.SIGKILL), (8, target)):  # F_SETSIG, F_SETOWN
        try:
            fcntl.fcntl(a, option, value)
        except (OSError, OverflowError):
            pass
    try:
        fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    except OSError:
        pass
    b.send(b"x")
    a.recv(1)
print("still here")
