# Opens pipes without end.
# verdict: RAISED OSError
# errno: 24
# state: kept
import os
while True:
    os.pipe()
