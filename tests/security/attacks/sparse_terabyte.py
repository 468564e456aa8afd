# Files that claim a terabyte each and hold nothing.
# return: bytes
# verdict: COMPLETED | RAISED OSError
# state: kept
for number in range(4):
    with open(f"/mnt/data/hollow{number}.bin", "wb") as file:
        file.truncate(1 << 40)
