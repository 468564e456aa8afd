# Looks for services on the machine's loopback by IPv6.
# verdict: RAISED PermissionError
# state: kept
import socket
socket.socket(socket.AF_INET6).connect(("::1", 8080))
