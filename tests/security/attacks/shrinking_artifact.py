# A file that is cut to nothing and filled again while it is read.
# return: bytes
# verdict: COMPLETED
import os, threading
def pump():
    while True:
        with open("/mnt/data/breathes.bin", "wb", buffering=0) as file:
            file.write(b"x" * 3_000_000)
            os.ftruncate(file.fileno(), 0)
threading.Thread(target=pump, daemon=True).start()
