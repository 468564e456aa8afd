# An array of a terabyte.
# verdict: RAISED MemoryError
# state: kept
import numpy
numpy.ones(1 << 37)
