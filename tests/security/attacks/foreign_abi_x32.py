# Makes a call of the x32 table.
# verdict: DENIED_SYSCALL
# state: dead
import ctypes
ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))
