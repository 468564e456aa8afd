# Writes 50 MB to stdout.
# limits: output_bytes=65536
# verdict: COMPLETED | OUTPUT_LIMIT
# touched: LIMIT_OUTPUT
# stdout-max: 65536
import sys
for _ in range(500):
    sys.stdout.write("x" * 100_000 + "\n")
