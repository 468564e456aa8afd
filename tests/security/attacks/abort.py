# Aborts.
# verdict: SIGNALLED
# signal: 6
# state: dead
import os
os.abort()
