# Mounts by the newer calls, which take a file system apart into steps (CVE-2022-0185), and reads the tables of mounts.
# verdict: COMPLETED
# prints: allowed []
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    return "allowed" if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
numbers = {428: "open_tree", 429: "move_mount", 430: "fsopen", 431: "fsconfig", 432: "fsmount", 433: "fspick",
           442: "mount_setattr", 457: "statmount", 458: "listmount", 467: "open_tree_attr"}
print("allowed", [name for number, name in numbers.items() if call(number, 0, 0, 0, 0, 0) not in ("EPERM", "ENOSYS")])
