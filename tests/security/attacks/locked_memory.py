# Locks its memory, so that the machine cannot take it back.
# verdict: COMPLETED
# prints: refused True
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
block = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE)
address = ctypes.addressof(ctypes.c_char.from_buffer(block))
print("refused", libc.mlockall(3) != 0 or libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(256 << 20)) != 0)
libc.munlockall()
