# Writes its own frames and rubbish into the driver's channel.
# limits: wall_ms=4000
# verdict: SIGNALLED
# state: dead
import os
os.write(3, b"\x00" * 64)
os.write(3, b"\xff" * 65536)
os.write(3, os.urandom(65536))
