# Facts and names of files by the calls that libraries and tools use.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"lstat": 6, "getdents": 78, "fchdir": 81, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
           "umask": 95, "utime": 132, "mknod": 133, "fstatfs": 138, "utimes": 235, "mkdirat": 258,
           "mknodat": 259, "fchownat": 260, "futimesat": 261, "renameat": 264, "linkat": 265, "symlinkat": 266,
           "readlinkat": 267, "fchmodat": 268, "faccessat": 269, "renameat2": 316, "statx": 332, "openat2": 437,
           "faccessat2": 439}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
AT = -100
os.chdir("/tmp")
open("a", "w").close()
space = ctypes.create_string_buffer(4096)
call("lstat", b"a", space)
call("statx", AT, b"a", 0, 0x7FF, space)
fd = os.open("a", os.O_RDWR)
call("fstatfs", fd, space)
call("faccessat", AT, b"a", 4)
call("faccessat2", AT, b"a", 4, 0)
here = os.open(".", os.O_RDONLY)
call("getdents", here, space, 4096)
call("fchdir", here)
class How(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]
call("openat2", AT, b"a", ctypes.byref(How(0, 0, 8)), 24)
call("mkdirat", AT, b"d", 0o700)
call("renameat", AT, b"d", AT, b"e")
call("renameat2", AT, b"e", AT, b"f", 1)
call("linkat", AT, b"a", AT, b"b", 0)
call("symlinkat", b"a", AT, b"l")
assert call("readlinkat", AT, b"l", space, 100) == 1
call("fchmod", fd, 0o600)
call("fchmodat", AT, b"a", 0o600)
me, mine = os.getuid(), os.getgid()
call("chown", b"a", me, mine)
call("fchown", fd, me, mine)
call("lchown", b"l", me, mine)
call("fchownat", AT, b"a", me, mine, 0)
call("umask", 0o22)
call("utime", b"a", None)
call("utimes", b"a", None)
call("futimesat", AT, b"a", None)
call("mknod", b"fifo1", 0o10600, 0)
call("mknodat", AT, b"fifo2", 0o10600, 0)
print("twin ok")
