# Claims a frame of four gigabytes, so that all that follows is swallowed.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import os
os.write(3, b"\xff\xff\xff\xff\x82")
