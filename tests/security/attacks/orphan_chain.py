# A chain of 300 processes, each the child of one that has just ended.
# limits: processes=32
# verdict: COMPLETED
# state: kept
# prints: last
import os
read_end, write_end = os.pipe()
if os.fork() == 0:
    for _ in range(300):
        if os.fork():
            os._exit(0)
    os.write(write_end, b"last")
    os._exit(0)
print(os.read(read_end, 4).decode())
