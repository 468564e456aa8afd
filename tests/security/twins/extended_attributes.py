# Extended attributes, as shutil.copystat and rsync keep them; a tmpfs may have none.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
def tried(function, *args):
    try:
        return function(*args)
    except OSError as error:
        assert error.errno in (errno.EOPNOTSUPP, errno.ENODATA), error  # the file system's answer, not the filter's
os.chdir("/tmp")
open("a", "w").close()
fd = os.open("a", os.O_RDWR)
for number, target, follow in ((0, "a", True), (1, "a", False), (2, fd, True)):
    tried(os.setxattr, target, f"user.{number}", b"1", 0) if follow else tried(
        lambda: os.setxattr(target, f"user.{number}", b"1", 0, follow_symlinks=False))
    tried(os.getxattr, target, f"user.{number}") if follow else tried(
        lambda: os.getxattr(target, f"user.{number}", follow_symlinks=False))
    tried(os.listxattr, target)
    tried(os.removexattr, target, f"user.{number}") if follow else tried(
        lambda: os.removexattr(target, f"user.{number}", follow_symlinks=False))
print("twin ok")
