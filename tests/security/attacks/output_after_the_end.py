# Goes on writing from a thread and from a child when the call is over.
# verdict: COMPLETED
# prints: over
import os, threading
if os.fork() == 0:
    try:
        while True:
            os.write(1, b"child\n" * 1000)
    finally:
        os._exit(0)
def babble():
    while True:
        os.write(1, b"thread\n")
threading.Thread(target=babble, daemon=True).start()
print("over", flush=True)
