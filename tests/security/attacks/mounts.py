# Mounts, unmounts, changes the root.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(165, 0, 0, 0, 0, 0), call(166, 0, 0), call(155, 0, 0), call(161, 0), call(428, 0, 0, 0), call(430, 0, 0),
       call(442, 0, 0, 0, 0, 0)])
