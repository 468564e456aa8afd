# Sockets inside the session by the calls that servers use.
# verdict: COMPLETED
# confined-verdict: RAISED PermissionError
# state: kept
# prints: twin ok
# confined-prints: listening
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {"accept": 43, "recvmmsg": 299, "sendmmsg": 307}
def call(name, *args):
    ctypes.set_errno(0)
    # Varargs: every number as a whole register.
    given = [a if isinstance(a, (bytes, ctypes._SimpleCData, ctypes.Array, ctypes.Structure)) or a is None
             else ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *given)
    assert result >= 0, f"{name}: {errno.errorcode.get(ctypes.get_errno(), '?')}"
    return result
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/tmp/relatives.sock")
listener.listen()
print("listening")
client = socket.socket(socket.AF_UNIX)
client.connect("/tmp/relatives.sock")
server = call("accept", listener.fileno(), None, None)
assert client.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("parts", ctypes.POINTER(Part)),
                ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                ("flags", ctypes.c_int), ("between", ctypes.c_int), ("received", ctypes.c_uint),
                ("behind", ctypes.c_int)]
part = Part(b"hello", 5)
message = Message(parts=ctypes.pointer(part), count=1)
assert call("sendmmsg", client.fileno(), ctypes.byref(message), 1, 0) == 1
space = ctypes.create_string_buffer(16)
into = Part(ctypes.cast(space, ctypes.c_char_p), 16)
message = Message(parts=ctypes.pointer(into), count=1)
assert call("recvmmsg", server, ctypes.byref(message), 1, 0, None) == 1 and space.value == b"hello"
print("twin ok")
