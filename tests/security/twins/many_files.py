# A few hundred files in a few directories, all of them artifacts.
# artifact: d3/193.txt
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os
for number in range(200):
    os.makedirs(f"d{number % 10}", exist_ok=True)
    with open(f"d{number % 10}/{number}.txt", "w") as file:
        file.write(str(number))
print("twin ok")
