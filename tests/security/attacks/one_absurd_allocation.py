# Asks for 100 GiB at once.
# verdict: RAISED MemoryError
# state: kept
bytearray(100 << 30)
