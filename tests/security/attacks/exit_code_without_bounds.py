# Exits with a number that fits nowhere.
# verdict: EXITED 2147483647
# state: kept
import sys
sys.exit(10**1000)
