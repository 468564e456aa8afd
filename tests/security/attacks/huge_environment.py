# Starts programs with more arguments and variables than a page cache would like, and very many of them.
# limits: memory_bytes=268435456 wall_ms=5000
# verdict: COMPLETED | MEMORY_LIMIT
# prints-if-completed: started
import os, subprocess
for size in (1, 100, 800):
    try:
        subprocess.run(["/usr/bin/true"] + ["x" * 100000] * size, env={f"V{i}": "y" * 100000 for i in range(size)})
    except OSError as error:
        print(error.strerror)
os.environ.update({f"V{i}": "z" * 1000 for i in range(2000)})
print("started")
