# Makes a file as large as the workspace that holds nothing, to be carried out as an artifact.
# limits: artifact_bytes=1048576
# return: bytes
# verdict: COMPLETED
# state: kept
with open("/mnt/data/hollow.bin", "wb") as file:
    file.truncate(400 << 20)
