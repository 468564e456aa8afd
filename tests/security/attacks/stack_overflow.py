# Recurses in C until the stack is gone.
# limits: memory_bytes=268435456
# verdict: SIGNALLED | MEMORY_LIMIT | RAISED RecursionError | RAISED MemoryError
import sys
sys.setrecursionlimit(10**9)
class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x"[:0])
Deep().down
