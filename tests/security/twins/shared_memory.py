# multiprocessing.shared_memory, locks, queues and managers.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import multiprocessing
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=1 << 20)
lock = multiprocessing.Lock()
queue = multiprocessing.Queue()
def child(name):
    other = shared_memory.SharedMemory(name)
    with lock:
        other.buf[0] = 42
    other.close()
    queue.put("done")
process = multiprocessing.Process(target=child, args=(block.name,))
process.start()
assert queue.get(timeout=20) == "done"
process.join()
assert block.buf[0] == 42
block.close()
block.unlink()
print("twin ok")
