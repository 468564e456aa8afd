# Writes a line of 100 MB to stderr.
# limits: output_bytes=65536
# verdict: COMPLETED | OUTPUT_LIMIT
# touched: LIMIT_OUTPUT
import os
block = b"y" * (1 << 20)
for _ in range(100):
    os.write(2, block)
