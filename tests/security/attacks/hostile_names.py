# Names files with what breaks terminals, paths, JSON and UTF-8.
# verdict: COMPLETED
# state: kept
# skipped: name
# artifact: -rf.txt
import os
for name in (b"new\nline.txt", b"esc\x1b[31m.txt", b"bad\xff\xfe.txt", b"tab\t.txt", b"-rf.txt", b"a" * 255):
    with open(os.path.join(b"/mnt/data", name), "w") as file:
        file.write("x")
