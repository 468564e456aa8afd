# Who one is: asked in every way, and set to what it is already, as careful programs do.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "getgroups": 115, "setresuid": 117,
           "getresuid": 118, "setresgid": 119, "getresgid": 120, "setfsuid": 122, "setfsgid": 123,
           "capget": 125}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
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
one, two, three = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
call("getresuid", ctypes.byref(one), ctypes.byref(two), ctypes.byref(three))
call("getresgid", ctypes.byref(one), ctypes.byref(two), ctypes.byref(three))
call("getgroups", 0, None)
me, mine = os.getuid(), os.getgid()
def set_them():
    call("setgid", mine)
    call("setregid", mine, mine)
    call("setresgid", mine, mine, mine)
    call("setfsgid", mine)
    call("setuid", me)
    call("setreuid", me, me)
    call("setresuid", me, me, me)
    call("setfsuid", me)
    libc.setgroups(0, None)  # refused by the kernel: who has no capability cannot
child(set_them)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
call("capget", header, (ctypes.c_uint32 * 6)())
print("twin ok")
