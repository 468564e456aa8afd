# Calls that are younger than the policy, and numbers that no kernel has: what nobody has thought of is refused.
# verdict: COMPLETED
# prints: allowed []
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
known = {424, 434, 435, 436, 437, 439, 440, 441, 449}  # pidfd, close_range, openat2, faccessat2, epoll_pwait2, futex_waitv
numbers = [n for n in range(424, 520) if n not in known] + [600, 1000, 9999, 0x3FFFFFFF]
answers = {number: call(number, -1, -1, -1, -1, -1, -1) for number in numbers}
print("allowed", [(n, a) for n, a in answers.items() if a not in ("ENOSYS", "EPERM")])
