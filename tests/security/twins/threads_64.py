# 64 threads at once.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import threading
barrier = threading.Barrier(65)
threads = [threading.Thread(target=barrier.wait) for _ in range(64)]
for thread in threads:
    thread.start()
barrier.wait(timeout=20)
for thread in threads:
    thread.join()
print("twin ok")
