# Asks for files that are not there, under ever new names: the kernel remembers each of them.
# limits: memory_bytes=268435456 wall_ms=3000
# verdict: COMPLETED | TIME_LIMIT | MEMORY_LIMIT
# prints-if-completed: asked
import os, time
until = time.monotonic() + 0.5
number = 0
while time.monotonic() < until:
    for _ in range(100):
        number += 1
        os.path.lexists(f"/mnt/data/{number:0200d}")
        os.path.lexists(f"/usr/{number:0200d}")
print("asked", number > 1000)
