# Shuts everybody out of its files by access control lists, and leaves defaults for what others put there.
# verdict: COMPLETED
import os, struct
def acl(permissions):
    entries = [(0x01, permissions, 0xFFFFFFFF), (0x04, permissions, 0xFFFFFFFF), (0x20, permissions, 0xFFFFFFFF)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
with open("/mnt/data/listed.txt", "w") as file:
    file.write("x")
for name in ("system.posix_acl_access", "system.posix_acl_default"):
    for path in ("/mnt/data/listed.txt", "/mnt/data"):
        try:
            os.setxattr(path, name, acl(0))
        except OSError as error:
            print(name, error.strerror)
print("shut")
