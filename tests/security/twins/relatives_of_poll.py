# Waiting and being told, by every call that event loops use.
# verdict: COMPLETED
# confined-verdict: RAISED AssertionError
# state: kept
# prints: twin ok
# confined-prints: polled
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"select": 23, "epoll_create": 213, "inotify_init": 253, "inotify_rm_watch": 255, "pselect6": 270,
           "ppoll": 271, "epoll_pwait": 281, "signalfd": 282, "timerfd_create": 283, "eventfd": 284,
           "timerfd_settime": 286, "timerfd_gettime": 287, "signalfd4": 289, "epoll_pwait2": 441}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
class Time(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("ns", ctypes.c_long)]
class Interval(ctypes.Structure):
    _fields_ = [("interval", Time), ("value", Time)]
now = Time(0, 1)
call("ppoll", None, 0, ctypes.byref(now), None, 0)
call("select", 0, None, None, None, ctypes.byref(Time(0, 1)))
call("pselect6", 0, None, None, None, ctypes.byref(now), None)
loop = call("epoll_create", 1)
event = ctypes.create_string_buffer(64)
call("epoll_pwait", loop, event, 1, 0, None, 0)
call("epoll_pwait2", loop, event, 1, ctypes.byref(now), None, 0)
call("eventfd", 1)
timer = call("timerfd_create", 1, 0)
call("timerfd_settime", timer, 0, ctypes.byref(Interval(Time(0, 0), Time(1, 0))), None)
call("timerfd_gettime", timer, ctypes.byref(Interval()))
mask = ctypes.c_uint64(1 << 9)
call("signalfd", -1, ctypes.byref(mask), 8)
call("signalfd4", -1, ctypes.byref(mask), 8, 0)
print("polled")
watch = call("inotify_init")
call("inotify_rm_watch", watch, libc.inotify_add_watch(watch, b"/tmp", 2))
print("twin ok")
