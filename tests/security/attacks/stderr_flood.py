# Writes 50 MB to stderr.
# limits: output_bytes=65536
# verdict: COMPLETED
# touched: LIMIT_OUTPUT
import sys
for _ in range(500):
    sys.stderr.write("x" * 100_000 + "\n")
