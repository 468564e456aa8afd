# Processes by fork, execveat, waitid and pidfds; groups and sessions of them.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"fork": 57, "setpgid": 109, "getpgrp": 111, "setsid": 112, "getpgid": 121, "getsid": 124,
           "rt_sigpending": 127, "rt_sigtimedwait": 128, "rt_sigqueueinfo": 129, "tkill": 200, "waitid": 247,
           "get_robust_list": 274, "rt_tgsigqueueinfo": 297, "execveat": 322, "pidfd_send_signal": 424,
           "pidfd_open": 434}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
import signal
def child(run):
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status
class Time(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
def groups():
    call("setpgid", 0, 0)
    assert call("getpgid", 0) == call("getpgrp") == os.getpid()
    call("getsid", 0)
child(groups)
child(lambda: call("setsid"))
pid = call("fork")
if pid == 0:
    os._exit(7)
info = ctypes.create_string_buffer(128)
call("waitid", 1, pid, info, 4, None)
def execute():
    fd = os.open("/usr/bin/true", os.O_RDONLY)
    arguments = (ctypes.c_char_p * 2)(b"true", None)
    call("execveat", fd, b"", arguments, None, 0x1000)
child(execute)
sleeper = os.fork()
if sleeper == 0:
    signal.pause()
handle = call("pidfd_open", sleeper, 0)
call("pidfd_send_signal", handle, 9, None, 0)
os.waitpid(sleeper, 0)
head, length = ctypes.c_void_p(), ctypes.c_size_t()
call("get_robust_list", 0, ctypes.byref(head), ctypes.byref(length))
def signals():
    mask = ctypes.c_uint64(1 << 9)
    signal.pthread_sigmask(signal.SIG_BLOCK, [10])
    call("tkill", os.getpid(), 10)
    call("rt_sigpending", ctypes.byref(mask), 8)
    call("rt_sigtimedwait", ctypes.byref(ctypes.c_uint64(1 << 9)), info, ctypes.byref(Time(1, 0)), 8)
    value = ctypes.create_string_buffer(128)
    ctypes.memmove(value, (ctypes.c_int * 3)(10, 0, -1), 12)
    call("rt_sigqueueinfo", os.getpid(), 10, value)
    call("rt_tgsigqueueinfo", os.getpid(), os.getpid(), 10, value)
    signal.signal(10, lambda *_: None)
    libc.syscall(ctypes.c_long(130), ctypes.byref(ctypes.c_uint64(0)), ctypes.c_long(8))  # rt_sigsuspend ends with EINTR
    assert ctypes.get_errno() in (0, errno.EINTR)
child(signals)
# A sleep that is stopped and continued goes on by restart_syscall.
sleeper = os.fork()
if sleeper == 0:
    libc.usleep(300_000)
    os._exit(0)
import time
time.sleep(0.05)
os.kill(sleeper, signal.SIGSTOP)
time.sleep(0.05)
os.kill(sleeper, signal.SIGCONT)
assert os.waitpid(sleeper, 0)[1] == 0
print("twin ok")
