# Other interpreters in the process, each with a thread of its own that goes on.
# verdict: COMPLETED | RAISED
import threading
import _xxsubinterpreters as interpreters
ids = [interpreters.create() for _ in range(20)]
def run(number):
    interpreters.run_string(number, "import time\nfor i in range(20):\n    time.sleep(0.01)\n    print('other', i)\n")
for number in ids:
    threading.Thread(target=run, args=(number,), daemon=True).start()
print("started")
