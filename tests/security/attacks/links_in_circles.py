# Links that lead to themselves, to each other, and up.
# return: bytes
# verdict: COMPLETED
# skipped: symlink
# no-content: root:
import os
os.chdir("/mnt/data")
os.symlink("self", "self")
os.symlink("b", "a")
os.symlink("a", "b")
os.makedirs("deep/er")
os.symlink("../..", "deep/er/up")
os.symlink("/proc/self/root/etc/passwd", "magic.txt")
os.symlink("/proc/self/fd/0", "stdin.txt")
