# Options of descriptors (fcntl, ioctl) and of the process (prctl, personality).
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"personality": 135}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
import fcntl, struct
fd = os.open("/tmp/options", os.O_RDWR | os.O_CREAT)
lock, unlock = (struct.pack("hhqqi4x", kind, 0, 0, 10, 0) for kind in (fcntl.F_WRLCK, fcntl.F_UNLCK))
for command, argument in ((fcntl.F_DUPFD, 50), (fcntl.F_DUPFD_CLOEXEC, 60), (fcntl.F_SETFD, 1), (fcntl.F_GETFD, 0),
                          (fcntl.F_SETFL, os.O_NONBLOCK), (fcntl.F_GETFL, 0), (fcntl.F_SETLK, lock), (fcntl.F_SETLKW, lock),
                          (fcntl.F_GETLK, lock), (fcntl.F_SETLK, unlock), (fcntl.F_OFD_SETLK, lock), (fcntl.F_OFD_SETLKW, lock),
                          (fcntl.F_OFD_GETLK, lock)):
    fcntl.fcntl(fd, command, argument)
read_end, write_end = os.pipe()
fcntl.fcntl(read_end, fcntl.F_GETPIPE_SZ)
fcntl.fcntl(read_end, 8, os.getpid())  # F_SETOWN
fcntl.fcntl(read_end, 9)               # F_GETOWN
space = bytearray(4096)
FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TIOCOUTQ, FIGETBSZ = 0x541B, 0x5421, 0x5452, 0x5451, 0x5450, 0x5411, 2
FLAGS, FIEMAP, FICLONE, FICLONERANGE, TCGETS, TIOCGWINSZ, TIOCGPGRP = (0x80086601, 0xC020660B, 0x40049409, 0x4020940D,
                                                                       0x5401, 0x5413, 0x540F)
import socket
left, right = socket.socketpair()
for number in (FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX, TIOCOUTQ, FIGETBSZ, FLAGS, FIEMAP, FICLONE, FICLONERANGE,
               TCGETS, TIOCGWINSZ, TIOCGPGRP):
    for target in (left.fileno(), fd):
        ctypes.set_errno(0)
        libc.ioctl(target, ctypes.c_ulong(number), (ctypes.c_char * 4096).from_buffer(space))
        assert ctypes.get_errno() != errno.EPERM, hex(number)  # ENOTTY and the like are the file's own answers
SET_NAME, GET_NAME, SET_PDEATHSIG, GET_PDEATHSIG, GET_DUMPABLE, SET_DUMPABLE, GET_SECCOMP, CAPBSET_READ = 15, 16, 1, 2, 3, 4, 21, 23
GET_TIMERSLACK, SET_TIMERSLACK, SET_CHILD_SUBREAPER, GET_CHILD_SUBREAPER, SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS = 30, 29, 36, 37, 38, 39
GET_TID_ADDRESS, SET_THP_DISABLE, GET_THP_DISABLE, SET_VMA = 40, 41, 42, 0x53564D41
buffer = ctypes.create_string_buffer(b"name", 64)
long = ctypes.c_long
def option(number, *values):
    ctypes.set_errno(0)
    padded = [value if not isinstance(value, int) else long(value) for value in values] + [long(0)] * (4 - len(values))
    result = libc.prctl(number, *padded)
    assert result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS), number
for number, values in ((GET_NAME, (buffer,)), (SET_NAME, (buffer,)), (SET_PDEATHSIG, (0,)), (GET_PDEATHSIG, (buffer,)),
                       (GET_DUMPABLE, ()), (SET_DUMPABLE, (1,)), (GET_SECCOMP, ()), (CAPBSET_READ, (0,)), (GET_TIMERSLACK, ()),
                       (SET_TIMERSLACK, (50000,)), (SET_CHILD_SUBREAPER, (0,)), (GET_CHILD_SUBREAPER, (buffer,)),
                       (SET_NO_NEW_PRIVS, (1,)), (GET_NO_NEW_PRIVS, ()), (GET_TID_ADDRESS, (buffer,)), (SET_THP_DISABLE, (0,)),
                       (GET_THP_DISABLE, ()), (SET_VMA, (0, 0, 0, None))):
    option(number, *values)
call("personality", 0xFFFFFFFF)
call("personality", 0)
print("twin ok")
