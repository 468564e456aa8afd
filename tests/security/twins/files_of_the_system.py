# What libraries look up in /etc without being asked, and fail when they see it and may not read it.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import mimetypes, os, ssl, subprocess, sys, time
assert mimetypes.guess_type("a.html")[0] == "text/html"
ssl.create_default_context()
assert subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stderr == ""
assert subprocess.run(["bash", "-ic", "echo x"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout == "x\n"
for name in ("mime.types", "ssl/openssl.cnf", "magic", "services", "protocols", "papersize", "inputrc", "locale.alias"):
    path = "/etc/" + name
    if os.path.isfile(path):
        open(path).close()
time.tzset()
print("twin ok")
