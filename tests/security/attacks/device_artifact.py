# Makes the node of a disk.
# verdict: RAISED PermissionError
# state: kept
import os, stat
os.mknod("/mnt/data/disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))
