# A few kilobytes that unpack to ten gigabytes.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT | RAISED MemoryError
import zlib
packer = zlib.compressobj(9)
block = bytes(1 << 20)
bomb = b"".join([packer.compress(block) for _ in range(512)] + [packer.flush()])
parts = []
while True:
    parts.append(zlib.decompress(bomb))
