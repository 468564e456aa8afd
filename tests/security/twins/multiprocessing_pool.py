# A pool of processes.
# limits: cpu_millis=2000
# verdict: COMPLETED
# state: kept
# prints: twin ok
import multiprocessing
def square(n):
    return n * n
with multiprocessing.get_context("fork").Pool(4) as pool:
    assert pool.map(square, range(100))[-1] == 9801
print("twin ok")
