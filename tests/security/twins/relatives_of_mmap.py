# Memory: moving, asking, locking a little, placing; as allocators and numpy do.
# verdict: COMPLETED
# confined-verdict: RAISED AssertionError
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"mremap": 25, "mincore": 27, "munlock": 150, "munlockall": 152, "membarrier": 324,
           "pkey_mprotect": 329}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
import mmap
SIZE = 1 << 20
libc.mmap.restype = ctypes.c_long
address = libc.mmap(None, ctypes.c_size_t(SIZE), 3, 0x22, -1, ctypes.c_long(0))
resident = ctypes.create_string_buffer(SIZE // 4096)
call("mincore", address, SIZE, resident)
address = call("mremap", address, SIZE, 2 * SIZE, 1, 0)
for lock, args in (("mlock", ()), ("mlock2", (0,))):
    if libc.syscall(ctypes.c_long({"mlock": 149, "mlock2": 325}[lock]), ctypes.c_long(address), ctypes.c_long(4096),
                    *map(ctypes.c_long, args)) != 0:
        assert ctypes.get_errno() in (errno.ENOMEM, errno.EPERM, errno.EAGAIN)  # no page may be locked: RLIMIT_MEMLOCK
call("munlock", address, 4096)
call("munlockall")
libc.mlockall(1)
call("membarrier", 0, 0, 0)
key = libc.pkey_alloc(0, 0)  # -1 where the processor has none
call("pkey_mprotect", address, 4096, 3, -1)
libc.pkey_free(key)
print("twin ok", flush=True)
mode, nodes = ctypes.c_int(), (ctypes.c_ulong * 16)()
libc.syscall(ctypes.c_long(239), ctypes.byref(mode), nodes, ctypes.c_long(1024), None, ctypes.c_long(0))  # get_mempolicy
libc.syscall(ctypes.c_long(238), ctypes.c_long(0), None, ctypes.c_long(0))  # set_mempolicy, the default one
libc.syscall(ctypes.c_long(237), ctypes.c_long(address), ctypes.c_long(4096), ctypes.c_long(0), None, ctypes.c_long(0),
             ctypes.c_long(0))  # mbind, the same
assert ctypes.get_errno() not in (errno.EPERM,)  # the pod of the tier confined refuses these itself
