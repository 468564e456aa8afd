# Lets a file grow while it is read.
# return: bytes
# limits: artifact_bytes=1048576
# verdict: COMPLETED
import threading
file = open("/mnt/data/grows.bin", "wb", buffering=0)
file.write(b"x" * 1000)
def grow():
    try:
        while True:
            file.write(b"x" * 100000)
    except OSError:
        pass
threading.Thread(target=grow, daemon=True).start()
