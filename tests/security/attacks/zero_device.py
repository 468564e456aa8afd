# Takes shared memory from /dev/zero, where it is not refused by name, and unmaps all of it but a page.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT | RAISED OSError | RAISED MemoryError
# userns-verdict: RAISED OSError
# confined-verdict: RAISED PermissionError
import ctypes, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
SIZE = 16 << 20
device = os.open("/dev/zero", os.O_RDWR)
while True:
    address = libc.mmap(None, SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, device, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memset(address, 1, SIZE)
    libc.munmap(address + 4096, SIZE - 4096)
