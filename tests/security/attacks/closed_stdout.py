# Closes stdout beneath Python.
# verdict: RAISED OSError
# errno: 9
# state: kept
import os
os.close(1)
print("lost")
