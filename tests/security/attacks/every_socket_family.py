# Tries a socket of every family and type.
# verdict: COMPLETED
# prints: made [1]
import socket
made = set()
for family in range(64):
    for kind in (1, 2, 3, 5, 10):
        try:
            socket.socket(family, kind).close()
            made.add(family)
        except OSError:
            pass
print("made", sorted(made))
