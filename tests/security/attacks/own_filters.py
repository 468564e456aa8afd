# Puts a filter of its own with user notification on top, to answer calls in the kernel's place.
# verdict: COMPLETED
# prints: ['EPERM', 'EINVAL']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(317, 1, 8, 0), call(157, 22, 2, 0)])
