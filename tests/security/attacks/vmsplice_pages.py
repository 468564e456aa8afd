# Gives pages of its memory to a pipe, a favourite of kernel exploits.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(278, 1, 0, 0, 0), call(216, 0, 0, 0, 0, 0), call(279, 0, 0, 0, 0, 0, 0)])
