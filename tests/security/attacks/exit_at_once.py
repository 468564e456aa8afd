# Ends the process behind the driver's back.
# verdict: EXITED 7
# state: dead
import os
os._exit(7)
