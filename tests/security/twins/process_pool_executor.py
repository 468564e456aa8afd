# concurrent.futures with processes.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import concurrent.futures, math
with concurrent.futures.ProcessPoolExecutor(3) as pool:
    assert list(pool.map(math.factorial, range(6)))[-1] == 120
print("twin ok")
