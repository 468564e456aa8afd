# Memory files, System V segments, semaphores and queues, inside the session.
# tiers: full
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"shmget": 29, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67, "msgget": 68,
           "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "semtimedop": 220, "memfd_create": 319}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
fd = call("memfd_create", b"x", 2)
import fcntl
os.ftruncate(fd, 4096)
fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
read_end, write_end = os.pipe()
fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 8192)
libc.shmat.restype = ctypes.c_void_p
segment = call("shmget", 0, 4096, 0o1600)
address = libc.shmat(segment, None, 0)
ctypes.memset(address, 1, 4096)
call("shmdt", ctypes.c_void_p(address))
call("shmctl", segment, 0, None)
semaphores = call("semget", 0, 1, 0o1600)
class Operation(ctypes.Structure):
    _fields_ = [("number", ctypes.c_ushort), ("change", ctypes.c_short), ("flags", ctypes.c_short)]
call("semop", semaphores, ctypes.byref(Operation(0, 1, 0)), 1)
call("semtimedop", semaphores, ctypes.byref(Operation(0, -1, 0)), 1, None)
call("semctl", semaphores, 0, 0, 0)
queue = call("msgget", 0, 0o1600)
message = ctypes.create_string_buffer(b"\x01" + b"\0" * 7 + b"text", 64)
call("msgsnd", queue, message, 4, 0)
assert call("msgrcv", queue, message, 40, 0, 0) == 4
call("msgctl", queue, 0, None)
print("twin ok")
