# tempfile in all its forms.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os, tempfile
with tempfile.TemporaryDirectory() as directory:
    with tempfile.NamedTemporaryFile(dir=directory) as named, tempfile.TemporaryFile() as unnamed:
        named.write(b"x")
        unnamed.write(b"y" * 100000)
    os.rename(tempfile.mkstemp(dir=directory)[1], os.path.join(directory, "moved"))
with tempfile.SpooledTemporaryFile(max_size=10) as spooled:
    spooled.write(b"z" * 100)
print("twin ok")
