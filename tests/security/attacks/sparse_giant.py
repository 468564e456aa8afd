# Makes a file of an exabyte that holds nothing.
# verdict: RAISED OSError
# errno: 27
# state: kept
with open("/mnt/data/giant.bin", "wb") as file:
    file.truncate(1 << 60)
