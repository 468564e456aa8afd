# Keeps memory in the buffers of pipes.
# limits: memory_bytes=268435456
# verdict: RAISED OSError | RAISED BlockingIOError | MEMORY_LIMIT
import fcntl, os
pipes = []
while True:
    read_end, write_end = os.pipe()
    pipes.append((read_end, write_end))
    try:
        fcntl.fcntl(write_end, 1031, 1 << 20)
    except PermissionError:
        pass
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        pass
