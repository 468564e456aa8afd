# Takes memory by shared anonymous mappings, which are files to the kernel.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT | RAISED OSError | RAISED MemoryError
# userns-verdict: RAISED PermissionError
import mmap
maps = []
while True:
    block = mmap.mmap(-1, 16 << 20)
    for offset in range(0, len(block), 4096):
        block[offset] = 1
    maps.append(block)
