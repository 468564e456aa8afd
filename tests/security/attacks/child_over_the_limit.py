# A child of the code takes too much; only it may die of that.
# limits: memory_bytes=268435456
# verdict: COMPLETED
# state: kept
# touched: LIMIT_MEMORY
# prints: child ended by 9
import os
child = os.fork()
if child == 0:
    blocks = []
    while True:
        blocks.append(bytearray(b"x" * (1 << 20)))
print("child ended by", os.waitpid(child, 0)[1])
