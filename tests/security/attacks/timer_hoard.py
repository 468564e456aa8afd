# Makes POSIX timers without end: kernel memory, a timer each.
# verdict: COMPLETED
# state: kept
# prints: refused True
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
identity = ctypes.c_void_p()
made = 0
while made < 2_000_000 and libc.timer_create(1, None, ctypes.byref(identity)) == 0:
    made += 1
print("refused", made < 2_000_000)
