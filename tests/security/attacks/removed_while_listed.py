# Files that come and go while the workspace is listed.
# return: bytes
# verdict: COMPLETED
import os, threading
def churn():
    while True:
        for number in range(200):
            open(f"/mnt/data/{number}.tmp.txt", "w").close()
        for number in range(200):
            os.unlink(f"/mnt/data/{number}.tmp.txt")
threading.Thread(target=churn, daemon=True).start()
