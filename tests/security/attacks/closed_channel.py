# Closes the driver's channel.
# verdict: SIGNALLED
# state: dead
import os
os.close(3)
