# Tells the kernel that pages are broken, offline or to be merged with others' of the same content.
# verdict: COMPLETED
# prints: allowed []
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
import mmap
memory = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
advices = {100: "HWPOISON", 101: "SOFT_OFFLINE"}
print("allowed", [name for advice, name in advices.items() if call(28, address, 4096, advice) == "allowed"])
