# Maps 2 TiB read-only and touches one page in every 2 MiB: all of the cost is in the kernel's page tables.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT | RAISED MemoryError | RAISED OSError
import mmap
maps = []
for _ in range(2):
    block = mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
    maps.append(block)
    for offset in range(0, 1 << 40, 2 << 20):
        block[offset]
