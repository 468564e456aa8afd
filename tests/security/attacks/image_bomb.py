# A picture of a few kilobytes that unpacks to two billion pixels.
# limits: memory_bytes=536870912 wall_ms=8000
# verdict: MEMORY_LIMIT | RAISED | TIME_LIMIT
import io, struct, zlib
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
side = 46000
def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
packer = zlib.compressobj(1)
rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(2000)) + packer.flush()
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
Image.open(io.BytesIO(png)).load()
