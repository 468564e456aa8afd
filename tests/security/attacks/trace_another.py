# Looks into other processes: ptrace, process_vm_readv, pidfd_getfd, kcmp.
# verdict: COMPLETED
# prints: ['EPERM', 'EPERM', 'EPERM', 'EPERM', 'EPERM']
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
print([call(101, 0), call(101, 16, 1), call(310, 1, 0, 0, 0, 0, 0), call(438, 0, 0, 0), call(312, 1, 1, 0, 0, 0)])
