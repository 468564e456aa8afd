# A server on a socket file, and clients in threads.
# verdict: COMPLETED
# confined-verdict: RAISED PermissionError
# state: kept
# prints: twin ok
# confined-prints: listening
import socketserver, socket, threading
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(self.rfile.readline())
with socketserver.ThreadingUnixStreamServer("/mnt/data/echo.sock", Echo) as server:
    print("listening")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for _ in range(10):
        client = socket.socket(socket.AF_UNIX)
        client.connect("/mnt/data/echo.sock")
        client.sendall(b"line\n")
        assert client.recv(100) == b"line\n"
        client.close()
    server.shutdown()
print("twin ok")
