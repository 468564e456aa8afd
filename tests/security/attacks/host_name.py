# Renames the machine.
# verdict: COMPLETED
# prints: refused True carrel
# confined-prints: refused True
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
print("refused", libc.sethostname(b"mine", 4) != 0 and libc.setdomainname(b"mine", 4) != 0, socket.gethostname())
