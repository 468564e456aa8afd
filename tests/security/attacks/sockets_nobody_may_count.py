# Keeps memory in the buffers of sockets, in processes that let nobody look into their tables of descriptors.
# limits: memory_bytes=268435456 processes=32
# verdict: MEMORY_LIMIT | COMPLETED
# prints-if-completed: ended by 9
import ctypes, os, socket, time
def fill():
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    pairs = []
    try:
        while True:
            pairs.append(socket.socketpair())
            for end in pairs[-1]:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                end.setblocking(False)
                try:
                    while True:
                        end.send(b"x" * 4096)
                except BlockingIOError:
                    pass
    except OSError:
        time.sleep(30)
for _ in range(8):
    if os.fork() == 0:
        fill()
        os._exit(0)
print("ended by", os.wait()[1])
