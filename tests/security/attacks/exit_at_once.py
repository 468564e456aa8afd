# Ends the process behind the driver's back.
# verdict: EXITED | INTERNAL | SIGNALLED
# state: dead
import os
os._exit(7)
