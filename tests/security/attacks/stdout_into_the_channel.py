# Leads its output into the driver's channel.
# limits: wall_ms=1500
# verdict: SIGNALLED | TIME_LIMIT
# state: dead
import os
os.dup2(3, 1)
print("x" * 1000)
