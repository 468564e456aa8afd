# A HOME that can be written, and a user who has a name.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import getpass, grp, os, pathlib, pwd
home = pathlib.Path.home()
(home / ".config" / "thing").mkdir(parents=True)
(home / ".config" / "thing" / "settings").write_text("x")
assert os.path.expanduser("~") == str(home)
account = pwd.getpwuid(os.getuid())
assert (account.pw_name, account.pw_dir, account.pw_gid) == ("user", str(home), os.getgid()), account
assert pwd.getpwnam("user").pw_uid == os.getuid() and os.path.expanduser("~user") == str(home)
assert grp.getgrgid(os.getgid()).gr_name == "user"
assert getpass.getuser() == "user"
assert (home / "mine").write_text("x") and (home / "mine").owner() == "user"
print("twin ok")
