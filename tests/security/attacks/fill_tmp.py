# Fills /tmp.
# verdict: RAISED OSError
# errno: 28
# state: kept
with open("/tmp/fill", "wb", buffering=0) as file:
    while True:
        file.write(b"x" * (1 << 20))
