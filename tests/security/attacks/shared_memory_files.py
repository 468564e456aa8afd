# Fills /dev/shm.
# verdict: RAISED OSError
# prints: full at
# state: kept
block = b"x" * (1 << 20)
size = 0
try:
    with open("/dev/shm/fill", "wb", buffering=0) as file:
        while True:
            size += file.write(block)
finally:
    print("full at", size)
