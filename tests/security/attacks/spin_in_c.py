# Spins in a C loop that never looks for signals.
# limits: wall_ms=500
# verdict: TIME_LIMIT
# state: dead
import itertools
sum(itertools.repeat(1))
