# Writes bytes that are no text, cut in the middle of characters, with zeros.
# verdict: COMPLETED
# prints: after
import os
os.write(1, b"\xff\xfe\x00\xc3")
os.write(1, b"\x28\xe2\x82")
os.write(1, b"\xed\xa0\x80\xf4\x90\x80\x80 after\n")
os.write(2, bytes(range(256)) * 64)
