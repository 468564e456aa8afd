# Sends SIGKILL to its own process group.
# verdict: SIGNALLED
# signal: 9
# state: dead
import os, signal
os.killpg(0, signal.SIGKILL)
