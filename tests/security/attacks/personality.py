# Takes its own protections off: no address randomisation, executable data, other ABIs, core dumps of set-id programs.
# verdict: COMPLETED
# prints: allowed []
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
modes = {"ADDR_NO_RANDOMIZE": 0x40000, "READ_IMPLIES_EXEC": 0x400000, "MMAP_PAGE_ZERO": 0x100000, "PER_LINUX32": 8,
         "hidden": 0x40000 | (1 << 40)}
print("allowed", [name for name, mode in modes.items() if call(135, mode) == "allowed"])
