# Looks for services on the machine's loopback.
# verdict: RAISED PermissionError
# state: kept
import socket
socket.create_connection(("127.0.0.1", 8080), timeout=3)
