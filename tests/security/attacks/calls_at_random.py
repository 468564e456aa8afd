# A fuzzer of its own: system calls at random with arguments at random, in children that may die of it.
# limits: processes=32 wall_ms=8000 memory_bytes=536870912
# verdict: any
import ctypes, os, random, time
libc = ctypes.CDLL(None)
dice = random.Random(20240229)
until = time.monotonic() + 0.6
never = {1, 18, 20, 34, 35, 60, 61, 62, 130, 200, 219, 231, 234, 230, 247, 296, 297, 424, 449}  # writes, waits, signals, ends
page = ctypes.create_string_buffer(b"/mnt/data/x", 4096)
special = [0, 1, -1, 2, 3, 4096, 1 << 31, 1 << 32, (1 << 63) - 1, ctypes.addressof(page), ctypes.addressof(page) + 4090]
while time.monotonic() < until:
    seed = dice.random()
    child = os.fork()
    if child == 0:
        os.closerange(1, 64)
        os.setpgid(0, 0)
        own = random.Random(seed)
        for _ in range(300):
            number = own.randrange(470)
            if number not in never:
                libc.syscall(ctypes.c_long(number), *[ctypes.c_long(own.choice(special)) for _ in range(6)])
        os._exit(0)
    deadline = time.monotonic() + 0.5
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
        time.sleep(0.002)
print("done")
