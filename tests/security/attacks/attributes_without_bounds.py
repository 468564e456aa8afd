# Keeps data in the extended attributes of files, which no file size shows.
# limits: memory_bytes=268435456
# verdict: RAISED OSError | MEMORY_LIMIT
import os
value = b"x" * 60_000
for number in range(100_000):
    path = f"/mnt/data/{number}"
    open(path, "w").close()
    for name in range(100):
        os.setxattr(path, f"user.{name}", value)
