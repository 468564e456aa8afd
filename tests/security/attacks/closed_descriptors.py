# Closes every descriptor there is.
# limits: wall_ms=4000
# verdict: SIGNALLED
# state: dead
import os
os.closerange(0, 4096)
