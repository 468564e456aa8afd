# Plants a FIFO on which a reader would wait for ever.
# return: bytes
# verdict: COMPLETED
# no-artifact: pipe.txt
# skipped: fifo
import os
os.mkfifo("/mnt/data/pipe.txt")
