# Recurses in C until the stack is gone.
# verdict: SIGNALLED | RAISED RecursionError | RAISED MemoryError
import sys
sys.setrecursionlimit(10**9)
def down():
    class Deep:
        def __del__(self):
            pass
    return [down() for _ in range(1)]
down()
