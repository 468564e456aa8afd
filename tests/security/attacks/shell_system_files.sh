# Reads and changes what belongs to the system, with the tools that administrators use.
# verdict: COMPLETED | EXITED | RAISED
# prints: got:.
got=
for path in /etc/shadow /root /proc/1/environ /proc/kcore /boot /var/lib; do
  [ -n "$(ls -A "$path" 2>/dev/null)" ] && [ -n "$(cat "$path" 2>/dev/null | head -c 1 | tr '\0' x)" ] && got+=" $path"
done
for path in /usr/x /etc/x /opt/carrel/x /bin/x /lib/x /x; do (: >"$path") 2>/dev/null && got+=" wrote $path"; done
for command in "mount -t tmpfs none /mnt" "chroot / true" "unshare -U true" "nsenter -t 1 -m true" "mknod n b 8 0" \
  "dmesg" "sysctl -w kernel.hostname=x" "swapon /mnt/data/x" "hostname x" "su -c id" "setpriv --reuid 0 true"; do
  $command </dev/null >/dev/null 2>&1 && got+=" ran $command"
done
echo "got:$got."
