# UTF-8 as the locale, in names and in text.
# artifact: größe-大きさ.txt
# verdict: COMPLETED
# state: kept
# prints: twin ok
import locale, os, sys
assert locale.getpreferredencoding().upper().replace("-", "") == "UTF8" and sys.getfilesystemencoding() == "utf-8"
locale.setlocale(locale.LC_ALL, "")
with open("größe-大きさ.txt", "w") as file:
    file.write("naïve – 日本")
assert "größe-大きさ.txt" in os.listdir(".")
print("twin ok")
