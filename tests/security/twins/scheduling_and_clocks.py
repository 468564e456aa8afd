# Priorities, CPUs, clocks, timers and usage, asked and set within what one has.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"sched_yield": 24, "nanosleep": 35, "getitimer": 36, "alarm": 37, "uname": 63, "gettimeofday": 96,
           "getrlimit": 97, "getrusage": 98, "times": 100, "getpriority": 140, "setpriority": 141,
           "sched_setparam": 142, "sched_getparam": 143, "sched_setscheduler": 144, "sched_getscheduler": 145,
           "sched_get_priority_max": 146, "sched_get_priority_min": 147, "sched_rr_get_interval": 148,
           "setrlimit": 160, "time": 201, "sched_setaffinity": 203, "timer_create": 222, "timer_settime": 223,
           "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "clock_gettime": 228,
           "clock_getres": 229, "ioprio_set": 251, "ioprio_get": 252, "getcpu": 309, "sched_getattr": 315}
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
space = ctypes.create_string_buffer(1024)
call("sched_yield")
cpus = ctypes.create_string_buffer(128)
length = libc.syscall(ctypes.c_long(204), ctypes.c_long(0), ctypes.c_long(128), cpus)
call("sched_setaffinity", 0, length, cpus)
call("sched_getparam", 0, space)
call("sched_getscheduler", 0)
call("sched_get_priority_max", 0)
call("sched_get_priority_min", 0)
call("sched_rr_get_interval", 0, space)
call("sched_getattr", 0, space, 56, 0)
call("sched_setscheduler", 0, 0, ctypes.byref(ctypes.c_int(0)))
call("sched_setparam", 0, ctypes.byref(ctypes.c_int(0)))
nice = 20 - call("getpriority", 0, 0)
call("setpriority", 0, 0, nice)
call("ioprio_set", 1, 0, call("ioprio_get", 1, 0))
call("getrusage", 0, space)
call("times", space)
call("getrlimit", 7, space)
call("setrlimit", 7, space)
call("uname", space)
call("getcpu", space, None, None)
call("alarm", 0)
call("getitimer", 0, space)
call("nanosleep", ctypes.byref(Time(0, 1000)), None)
call("clock_gettime", 0, space)
call("clock_getres", 0, space)
call("gettimeofday", space, None)
call("time", None)
timer = ctypes.c_int()
event = ctypes.create_string_buffer(64)
ctypes.memmove(ctypes.addressof(event) + 12, (ctypes.c_int * 1)(1), 4)  # SIGEV_NONE
call("timer_create", 1, event, ctypes.byref(timer))
call("timer_settime", timer, 0, (ctypes.c_long * 4)(0, 0, 1, 0), None)
call("timer_gettime", timer, space)
call("timer_getoverrun", timer)
call("timer_delete", timer)
print("twin ok")
