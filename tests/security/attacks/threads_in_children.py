# Children that each start threads until no more start.
# limits: processes=32 wall_ms=8000
# verdict: COMPLETED | RAISED BlockingIOError
# touched: LIMIT_PROCESSES
# prints-if-completed: refused True
import os, threading, time
read_end, write_end = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        try:
            while True:
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            os.write(write_end, b"x")
        time.sleep(60)
print("refused", os.read(read_end, 1) == b"x")
