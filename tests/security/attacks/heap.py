# Touches more memory than it may have.
# limits: memory_bytes=268435456
# verdict: MEMORY_LIMIT
# state: dead
blocks = []
while True:
    blocks.append(bytearray(b"x" * (1 << 20)))
