# Reads the password hashes.
# verdict: RAISED FileNotFoundError
# state: kept
open("/etc/shadow")
