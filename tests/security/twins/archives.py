# zipfile, tarfile and shutil pack, copy and move between directories.
# verdict: COMPLETED
# state: kept
# prints: twin ok
import os, shutil, tarfile, zipfile
os.makedirs("tree/a/b")
with open("tree/a/b/f.txt", "w") as file:
    file.write("x" * 10000)
os.chmod("tree/a/b/f.txt", 0o640)
os.symlink("f.txt", "tree/a/b/link")
with zipfile.ZipFile("t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write("tree/a/b/f.txt")
zipfile.ZipFile("t.zip").extractall("out")
with tarfile.open("t.tar.gz", "w:gz") as archive:
    archive.add("tree")
tarfile.open("t.tar.gz").extractall("out2")
shutil.copytree("tree", "copy", symlinks=True)
shutil.move("copy/a/b/f.txt", "moved.txt")
os.rename("moved.txt", "out/moved.txt")
shutil.rmtree("tree")
assert os.path.getsize("out/moved.txt") == 10000
print("twin ok")
