# Sends descriptors into sockets that hold themselves and that nobody reads, so that they count for no process.
# limits: processes=32
# verdict: COMPLETED | RAISED OSError | MEMORY_LIMIT
import os, socket
sent = 0
def hoard():
    global sent
    try:
        while sent < 200000:
            a, b = socket.socketpair()
            for _ in range(50):
                socket.send_fds(a, [b"x"], [a.fileno(), b.fileno()] * 100)
                sent += 200
            a.close()
            b.close()
    except OSError as error:
        return error
error = hoard()
print("sent", sent, error)
