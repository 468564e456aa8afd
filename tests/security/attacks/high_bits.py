# Hides a forbidden argument behind bits that the kernel does not look at.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM', 'EPERM']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
HIGH = 1 << 32
print([call(41, 2 | HIGH, 1, 0), call(16, 0, 0x5412 | HIGH, 0), call(16, 0, 0x541C | HIGH, 0), call(135, 0x400000 | HIGH)])
