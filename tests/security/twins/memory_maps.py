# mmap of files and of memory, and code made at run time.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import ctypes, mmap
with open("m.bin", "w+b") as file:
    file.truncate(1 << 20)
    with mmap.mmap(file.fileno(), 0) as mapped:
        mapped[100:105] = b"hello"
        mapped.flush()
    file.seek(100)
    assert file.read(5) == b"hello"
callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 1)
assert callback(41) == 42
print("twin ok")
