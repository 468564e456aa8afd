# Uses a good part of its memory, gives it back, and uses it again.
# verdict: COMPLETED
# state: kept
# prints: twin ok
for _ in range(5):
    block = bytearray(b"x" * (300 << 20))
    del block
print("twin ok")
