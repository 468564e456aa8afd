"""What the jail is measured against, in the same run: a bare fork of the zygote's process, and bubblewrap with a cold
python. Prints one line each time it reads one ("fork" or "bwrap"): the milliseconds it took.

Run with the environment of the runtime's manifest, and the driver's directory as the only argument.
"""

import gc
import os
import subprocess
import sys
import time

sys.path.insert(0, sys.argv[1])
import driver as driver_module  # noqa: E402


def fork():
    """From the fork to the child's end, as a session start is from the request to the answer."""
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return time.perf_counter() - start


def bubblewrap():
    start = time.perf_counter()
    subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
                    "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev", "/dev",
                    "--tmpfs", "/tmp", "/usr/bin/python3", "-S", "-c", "print(1)"],
                   check=True, stdout=subprocess.DEVNULL, env={"PATH": "/usr/bin"})
    return time.perf_counter() - start


def main():
    driver_module.Driver().prepare()
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = fork() if line.strip() == "fork" else bubblewrap()
        print(seconds * 1000, flush=True)


if __name__ == "__main__":
    main()
