# Makes children that are its own siblings (CLONE_PARENT), for whoever waits for it to take one's end for its own.
# verdict: COMPLETED
# state: kept
# prints: made []
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
made = []
for flags in (0x8000 | 17, 0x8000 | 9, 0x8000, 0x8000 | 17 | (1 << 40)):
    ctypes.set_errno(0)
    pid = libc.syscall(ctypes.c_long(56), ctypes.c_long(flags), 0, 0, 0, 0)
    if pid == 0:
        os._exit(42)
    if pid > 0:
        made.append(flags)
print("made", made)
