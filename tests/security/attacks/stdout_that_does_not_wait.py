# Makes stdout non-blocking and floods it.
# limits: output_bytes=65536
# verdict: COMPLETED | RAISED BlockingIOError
# state: kept
import os
os.set_blocking(1, False)
for _ in range(1000):
    os.write(1, b"x" * 65536)
