# Reads the password hashes.
# verdict: RAISED FileNotFoundError
# confined-verdict: RAISED PermissionError
# state: kept
open("/etc/shadow")
