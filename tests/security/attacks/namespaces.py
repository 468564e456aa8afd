# Makes or enters namespaces, to be root in one.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'ENOSYS']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
NEWUSER, NEWNET = 0x10000000, 0x40000000
print([call(272, NEWUSER), call(308, 0, 0), call(56, NEWUSER | 17), call(56, NEWNET | 17 | (1 << 40)), call(435, 0, 0)])
