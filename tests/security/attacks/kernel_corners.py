# Reaches for bpf, perf, userfaultfd, module loading, kexec, reboot, swap, clocks, file handles.
# verdict: COMPLETED
# prints: {'EPERM'}
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
numbers = (321, 298, 323, 175, 313, 176, 246, 320, 169, 167, 168, 227, 164, 304, 303, 163, 179, 317, 172, 173, 154)
print({call(number, 0, 0, 0, 0, 0) for number in numbers})
