# Asks the address where clouds keep credentials.
# verdict: RAISED PermissionError
# state: kept
import socket
socket.create_connection(("169.254.169.254", 80), timeout=3)
