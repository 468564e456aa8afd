# Fills files that have no name.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT | RAISED OSError
import os
files = []
block = b"x" * (1 << 20)
while True:
    files.append(os.memfd_create("fill"))
    for _ in range(64):
        os.write(files[-1], block)
