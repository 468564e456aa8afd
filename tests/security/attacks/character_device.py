# Makes the node of the machine's memory.
# verdict: RAISED PermissionError
# state: kept
import os, stat
os.mknod("/mnt/data/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))
