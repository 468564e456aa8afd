# Plants a listening socket.
# return: bytes
# verdict: COMPLETED
# no-artifact: socket.txt
# skipped: socket
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/mnt/data/socket.txt")
listener.listen()
