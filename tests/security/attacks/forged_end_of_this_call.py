# Forges the end of its own call, with an exit code and a text.
# verdict: EXITED 77
import os, struct, time
for call in range(4):
    body = struct.pack("<BQBii", 0x84, call, 2, 77, 0) + struct.pack("<HII", 0, 0, 0)
    os.write(3, struct.pack("<I", len(body)) + body)
time.sleep(0.2)
