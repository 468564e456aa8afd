# Takes away its own right to read what it leaves.
# return: bytes
# verdict: COMPLETED
# state: kept
import os
os.makedirs("/mnt/data/shut/inner")
with open("/mnt/data/shut/inner/file.txt", "w") as file:
    file.write("x")
os.chmod("/mnt/data/shut/inner/file.txt", 0)
os.chmod("/mnt/data/shut", 0)
