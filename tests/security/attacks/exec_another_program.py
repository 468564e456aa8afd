# Becomes another program, which knows nothing of the driver's channel.
# verdict: SIGNALLED
# state: dead
import os
os.execv("/usr/bin/sleep", ["sleep", "1000"])
