# A HOME that can be written.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os, pathlib
home = pathlib.Path.home()
(home / ".config" / "thing").mkdir(parents=True)
(home / ".config" / "thing" / "settings").write_text("x")
assert os.path.expanduser("~") == str(home)
import getpass, pwd
assert pwd.getpwuid(os.getuid()).pw_name and getpass.getuser()
print("twin ok")
