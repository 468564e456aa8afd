# Shuts itself in further, so that the driver cannot reach what it needs.
# verdict: COMPLETED
# prints: ['ENOSYS', 'ENOSYS', 'ENOSYS']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(444, 0, 0, 1), call(445, 0, 0, 0, 0), call(446, 0, 0)])
