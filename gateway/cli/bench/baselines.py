"""What the jail is measured against, in the same run: a bare fork of the zygote's process, bubblewrap with a cold Python,
and a Jupyter kernel. Reads one order a line and answers with one line: the milliseconds it took, "rate N" (a second), or
"none WHY".

    fork            from the fork to the child's end, as a session's start is from the request to the answer
    forks SECONDS   as many of them as fit, one after the other: a rate
    bwrap           bubblewrap and python3 -S -c 'print(1)'
    bwrap-imports   the same with numpy, pandas, scipy.stats and matplotlib.pyplot imported
    jupyter         a kernel's start, and its first result with the same imports
    jupyter-call    1 + 1 in that kernel, to its reply and back to idle

Run with the environment of the runtime's manifest; arguments: the driver's directory, the directory of the runtime's
packages, and (or "") that of jupyter_client and ipykernel.
"""

import gc
import os
import shutil
import subprocess
import sys
import time

DRIVER, PACKAGES, JUPYTER = sys.argv[1:4]
sys.path.insert(0, DRIVER)
import driver as driver_module  # noqa: E402

IMPORTS = "import numpy, pandas, scipy.stats, matplotlib.pyplot as plt\n1 + 1"
kernel = None


def timed(function):
    start = time.perf_counter()
    function()
    return repr((time.perf_counter() - start) * 1000)


def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def forks(seconds):
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < seconds:
        fork()
        count += 1
    return f"rate {count / (time.perf_counter() - start)}"


def bubblewrap(code, *flags):
    subprocess.run(["bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib",
                    "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc", "--dev",
                    "/dev", "--tmpfs", "/tmp", "--ro-bind", PACKAGES, "/packages", "/usr/bin/python3", *flags, "-c",
                    code],
                   check=True, stdout=subprocess.DEVNULL,
                   env={"PATH": "/usr/bin", "PYTHONPATH": "/packages", "HOME": "/tmp", "MPLBACKEND": "Agg"})


def start_jupyter():
    """A kernel in a process of its own, as a notebook server starts it."""
    global kernel
    stop_jupyter()
    if JUPYTER not in sys.path:
        sys.path.insert(1, JUPYTER)
    from jupyter_client.manager import start_new_kernel
    environment = {**os.environ, "PYTHONPATH": f"{JUPYTER}:{PACKAGES}"}
    kernel = start_new_kernel(kernel_name="python3", env=environment, startup_timeout=60)
    run_jupyter(IMPORTS)


def run_jupyter(code):
    reply = kernel[1].execute_interactive(code, timeout=60, output_hook=lambda message: None)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(reply["content"])


def stop_jupyter():
    global kernel
    if kernel is not None:
        kernel[1].stop_channels()
        kernel[0].shutdown_kernel(now=True)
        kernel = None


def install_kernel_spec():
    """Points jupyter_client at this Python's ipykernel, in a directory of our own, whatever else is installed."""
    import json
    import tempfile
    directory = tempfile.mkdtemp(prefix="carrel-bench-")
    spec = os.path.join(directory, "kernels", "python3")
    os.makedirs(spec)
    with open(os.path.join(spec, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump({"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                   "display_name": "Python", "language": "python"}, file)
    os.environ.update(JUPYTER_PATH=directory, JUPYTER_RUNTIME_DIR=directory, JUPYTER_CONFIG_DIR=directory,
                      IPYTHONDIR=directory)
    return directory


def answer(order):
    if order == "fork":
        return timed(fork)
    if order.startswith("forks "):
        return forks(float(order.split()[1]))
    if order.startswith("bwrap") and shutil.which("bwrap") is None:
        return "none bubblewrap is not installed"
    if order == "bwrap":
        return timed(lambda: bubblewrap("print(1)", "-S"))
    if order == "bwrap-imports":
        return timed(lambda: bubblewrap(IMPORTS, "-s"))
    if order.startswith("jupyter") and not JUPYTER:
        return "none jupyter_client and ipykernel are not installed"
    if order == "jupyter":
        return timed(start_jupyter)
    if order == "jupyter-call":
        return timed(lambda: run_jupyter("1 + 1"))
    return "none unknown order"


def main():
    driver_module.Driver().prepare()
    gc.collect()
    gc.freeze()
    directory = install_kernel_spec() if JUPYTER else None
    print("ready", flush=True)
    try:
        for line in sys.stdin:
            try:
                print(answer(line.strip()), flush=True)
            except Exception as error:
                print("none", " ".join(str(error).split())[:200] or type(error).__name__, flush=True)
    finally:
        stop_jupyter()
        if directory:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
