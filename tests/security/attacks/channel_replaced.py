# Puts another descriptor in the place of the driver's channel.
# verdict: SIGNALLED
# state: dead
import os
os.dup2(1, 3)
