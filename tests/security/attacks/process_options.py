# Options of the process that weaken its jail or harden it against its keeper.
# verdict: COMPLETED
# prints: allowed []
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
calls = {"PR_SET_PTRACER": (0x59616D61, -1), "PR_SET_SECCOMP": (22, 1), "PR_CAPBSET_DROP": (24, 0),
         "PR_SET_SECUREBITS": (28, 0), "PR_SET_MM": (35, 1), "PR_CAP_AMBIENT": (47, 2), "PR_SET_IO_FLUSHER": (57, 1), "PR_SET_SYSCALL_USER_DISPATCH": (59, 1)}
allowed = [name for name, (option, value) in calls.items() if libc.prctl(option, ctypes.c_long(value), 0, 0, 0) == 0]
print("allowed", allowed)
