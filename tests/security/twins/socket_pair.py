# A pair of sockets, with a descriptor sent over it.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os, socket
left, right = socket.socketpair()
left.sendall(b"x" * 1000)
assert len(right.recv(2000)) == 1000
read_end, write_end = os.pipe()
socket.send_fds(left, [b"fd"], [write_end])
_, fds, _, _ = socket.recv_fds(right, 16, 1)
os.write(fds[0], b"through")
assert os.read(read_end, 16) == b"through"
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
left.send(b"one")
left.send(b"two")
assert (right.recv(10), right.recv(10)) == (b"one", b"two")
print("twin ok")
