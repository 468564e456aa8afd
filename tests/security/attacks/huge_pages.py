# Takes pages from the pool that all share.
# verdict: COMPLETED
# prints: refused True
import ctypes, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
got = libc.mmap(None, ctypes.c_size_t(2 << 20), 3, 0x40022, -1, ctypes.c_long(0))
print("refused", got == ctypes.c_void_p(-1).value)
