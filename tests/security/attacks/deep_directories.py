# Nests directories deeper than any scan should go.
# verdict: COMPLETED
# state: kept
# prints: deep
# skipped: too deep
# no-artifact: bottom.txt
import os
for _ in range(1500):
    os.mkdir("d")
    os.chdir("d")
with open("bottom.txt", "w") as file:
    file.write("x")
os.chdir("/mnt/data")
print("deep")
