# Swaps a directory for a link to a directory outside while the scan is under way.
# return: bytes
# verdict: COMPLETED
# no-content: root:
import os, threading
os.makedirs("/mnt/data/real", exist_ok=True)
with open("/mnt/data/real/passwd", "w") as file:
    file.write("harmless")
def swap():
    while True:
        try:
            os.rename("/mnt/data/real", "/mnt/data/aside")
            os.symlink("/etc", "/mnt/data/real")
            os.unlink("/mnt/data/real")
            os.rename("/mnt/data/aside", "/mnt/data/real")
        except OSError:
            pass
threading.Thread(target=swap, daemon=True).start()
