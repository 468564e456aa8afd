# Plants files that a later Python would run or read when it starts.
# verdict: COMPLETED
# prints: planted
import os, site
text = "print('PLANTED')\nraise SystemExit('PLANTED')\n"
places = ["/mnt/data", "/tmp", os.path.expanduser("~"), "/dev/shm", "/tmp/matplotlib", "/tmp/ipython/profile_default/startup",
          site.getusersitepackages()]
for place in places:
    try:
        os.makedirs(place, exist_ok=True)
    except OSError:
        continue
    for name in ("sitecustomize.py", "usercustomize.py", "00-start.py", "ipython_config.py", "json.py", "numpy.py",
                 "_carrel_zygote.py", "driver.py", ".pythonrc"):
        with open(os.path.join(place, name), "w") as file:
            file.write(text)
    with open(os.path.join(place, "planted.pth"), "w") as file:
        file.write("import os; print('PLANTED')\n")
    with open(os.path.join(place, "matplotlibrc"), "w") as file:
        file.write("backend: PLANTED\n")
print("planted")
