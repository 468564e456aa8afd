# Carries data out in names that it looks up.
# verdict: RAISED gaierror
# state: kept
import socket
socket.getaddrinfo("secret.example.com", 443)
