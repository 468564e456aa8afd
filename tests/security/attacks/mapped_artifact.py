# A file that is changed through a mapping while it is read, which moves no time stamp.
# return: bytes
# verdict: COMPLETED
import mmap, threading
with open("/mnt/data/mapped.bin", "wb") as file:
    file.truncate(1 << 20)
file = open("/mnt/data/mapped.bin", "r+b")
block = mmap.mmap(file.fileno(), 1 << 20)
def scribble():
    number = 0
    while True:
        number += 1
        block[:8] = number.to_bytes(8, "little")
threading.Thread(target=scribble, daemon=True).start()
