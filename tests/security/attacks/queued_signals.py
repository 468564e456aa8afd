# Queues real-time signals to itself, which the kernel must keep.
# verdict: COMPLETED
# state: kept
# prints: refused
import ctypes, os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN + 1])
libc = ctypes.CDLL(None, use_errno=True)
sent = 0
while sent < 1_000_000 and libc.sigqueue(os.getpid(), signal.SIGRTMIN + 1, None) == 0:
    sent += 1
signal.signal(signal.SIGRTMIN + 1, signal.SIG_IGN)
print("refused" if sent < 1_000_000 else "taken")
