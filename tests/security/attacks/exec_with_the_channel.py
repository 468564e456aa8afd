# Hands the driver's channel to a shell that writes into it: its first letters are a length of gigabytes.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import os
os.set_inheritable(3, True)
os.execv("/bin/sh", ["sh", "-c", "echo I am the driver >&3; sleep 1000"])
