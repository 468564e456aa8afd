# fcntl and flock locks between processes.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import fcntl, os
with open("lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    child = os.fork()
    if child == 0:
        try:
            with open("lock") as other:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os._exit(1)
        except BlockingIOError:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("twin ok")
