# Reads address 0.
# verdict: SIGNALLED
# signal: 11
# state: dead
import ctypes
ctypes.string_at(0)
