# Writes displays of its own that nobody asked for, as fast as it can.
# limits: wall_ms=800 display_bytes=65536
# verdict: TIME_LIMIT
# touched: LIMIT_DISPLAY
import os, struct
body = struct.pack("<BQBH", 0x82, 1, 0, 1) + struct.pack("<H", 10) + b"text/plain" + struct.pack("<I", 1000) + b"x" * 1000
frame = struct.pack("<I", len(body)) + body
while True:
    os.write(3, frame * 10)
