# Sends a datagram out.
# verdict: RAISED PermissionError
# state: kept
import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53))
