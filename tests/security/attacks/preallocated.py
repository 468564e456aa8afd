# Allocates what it does not write: more than the workspace, more than a file may have.
# limits: workspace_bytes=8388608
# verdict: COMPLETED
# prints: refused ['EFBIG', 'EFBIG', 'ENOSPC']
import errno, os
refused = []
for size in (1 << 60, 1 << 40, 1 << 27):
    with open("/mnt/data/allocated", "wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            refused.append(errno.errorcode[error.errno])
    os.unlink("/mnt/data/allocated")
print("refused", refused)
