# Closes every descriptor there is.
# verdict: any
import os
os.closerange(0, 4096)
