# Splices a page of a system file into a pipe and writes behind it (CVE-2022-0847): what the pipe takes up must not reach the file.
# verdict: COMPLETED
# prints: unchanged True
import os
path = os.path.realpath("/usr/lib/os-release")
before = open(path, "rb").read()
read_end, write_end = os.pipe()
size = 1 << 16
os.write(write_end, b"x" * size)  # every slot of the ring has been used once, and keeps its flags
os.read(read_end, size)
fd = os.open(path, os.O_RDONLY)
try:
    os.splice(fd, write_end, 1, offset_src=0)
    os.write(write_end, b"FORGED")
    print(os.read(read_end, 7)[1:] == b"FORGED")
except OSError as error:
    print(error)
print("unchanged", open(path, "rb").read() == before)
