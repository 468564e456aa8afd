# Exits with an object that cannot be printed.
# verdict: EXITED 1 | RAISED
# state: kept
import sys
class Hostile:
    def __str__(self):
        raise KeyboardInterrupt
    __repr__ = __str__
sys.exit(Hostile())
