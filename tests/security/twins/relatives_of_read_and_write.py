# Reading and writing by the calls that libraries use beside read and write.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"open": 2, "readv": 19, "writev": 20, "pipe": 22, "dup": 32, "fsync": 74, "truncate": 76,
           "creat": 85, "sync": 162, "readahead": 187, "splice": 275, "tee": 276, "sync_file_range": 277,
           "fallocate": 285, "dup3": 292, "preadv": 295, "pwritev": 296, "syncfs": 306, "copy_file_range": 326,
           "preadv2": 327, "pwritev2": 328}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
os.chdir("/tmp")
fd = call("creat", b"a", 0o600)
os.close(fd)
fd = call("open", b"a", os.O_RDWR, 0)
parts = (Part * 1)(Part(b"hello", 5))
call("writev", fd, parts, 1)
call("pwritev", fd, parts, 1, 0, 0)
call("pwritev2", fd, parts, 1, 0, 0, 0)
space = ctypes.create_string_buffer(16)
into = (Part * 1)(Part(ctypes.cast(space, ctypes.c_char_p), 5))
os.lseek(fd, 0, 0)
assert call("readv", fd, into, 1) == 5 and space.value == b"hello"
call("preadv", fd, into, 1, 0, 0)
call("preadv2", fd, into, 1, 0, 0, 0)
call("fsync", fd)
call("sync_file_range", fd, 0, 5, 2)
call("syncfs", fd)
call("sync")
call("fallocate", fd, 0, 0, 100)
call("truncate", b"a", 5)
call("readahead", fd, 0, 5)
copy = call("dup", fd)
call("dup3", copy, 100, os.O_CLOEXEC)
ends = (ctypes.c_int * 2)()
call("pipe", ends)
more = os.pipe()
call("splice", fd, ctypes.byref(ctypes.c_long(0)), ends[1], None, 5, 0)
assert call("tee", ends[0], more[1], 5, 0) == 5
target = os.open("b", os.O_RDWR | os.O_CREAT)
assert call("copy_file_range", fd, ctypes.byref(ctypes.c_long(0)), target, None, 5, 0) == 5
print("twin ok")
