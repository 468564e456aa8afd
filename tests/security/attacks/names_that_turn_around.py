# Names that read otherwise than they are: right-to-left overrides, line separators, control codes above ASCII.
# verdict: COMPLETED
# skipped: name
# artifact: שלום.txt
import os
os.chdir("/mnt/data")
for name in ("invoice\u202efdp.exe", "a\u2066b.txt", "line\u2028break.txt", "csi\u009b31m.txt", "שלום.txt"):
    open(name, "w").close()
