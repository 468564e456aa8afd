# Starts threads until no more start.
# limits: processes=32
# verdict: RAISED RuntimeError
# touched: LIMIT_PROCESSES
import threading
gate = threading.Event()
while True:
    threading.Thread(target=gate.wait, daemon=True).start()
