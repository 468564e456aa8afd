# The x86 corners: local descriptor tables, port access.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(154, 0, 0, 0), call(172, 3), call(173, 0, 1024, 1)])
