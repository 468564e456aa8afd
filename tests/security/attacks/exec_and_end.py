# Becomes a program that ends at once, with success.
# verdict: EXITED 0
# state: dead
import os
os.execv("/usr/bin/true", ["true"])
