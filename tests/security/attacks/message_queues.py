# Keeps memory in SysV message queues and shared memory segments, outside of every process.
# limits: memory_bytes=268435456
# verdict: COMPLETED | MEMORY_LIMIT
# prints-if-completed: refused
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
for _ in range(100000):
    segment = libc.shmget(0, ctypes.c_size_t(16 << 20), 0o1600)
    if segment < 0:
        break
    address = libc.shmat(segment, None, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        break
    ctypes.memset(address, 1, 16 << 20)
    libc.shmdt(ctypes.c_void_p(address))
print("refused", ctypes.get_errno())
