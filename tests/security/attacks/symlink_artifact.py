# Plants links to files of the host where artifacts are looked for.
# return: bytes
# verdict: COMPLETED
# no-artifact: passwd.txt
# no-artifact: self.txt
# skipped: symlink
# no-content: root:
import os
os.symlink("/etc/passwd", "/mnt/data/passwd.txt")
os.symlink("/proc/self/environ", "/mnt/data/self.txt")
os.symlink("/", "/mnt/data/root")
os.symlink("/mnt/data", "/mnt/data/loop")
