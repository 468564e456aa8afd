# Closes every descriptor there is.
# limits: wall_ms=4000
# verdict: any
import os
os.closerange(0, 4096)
