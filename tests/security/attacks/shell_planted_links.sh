# Links, FIFOs, sockets and hostile names where artifacts are looked for.
# verdict: COMPLETED
# artifact: honest.txt
# no-content: root:
# skipped: symlink
# skipped: fifo
cd /mnt/data
ln -s /etc/passwd link.txt; ln -s /proc/self/environ environ; ln -s . circle; mkfifo pipe.txt
echo x >"$(printf 'new\nline')"; echo x >"$(printf 'esc\033[2J')"; echo x >"$(printf 'bad\377')"
mkdir -p a/b/c; ln -s ../../../.. a/b/c/up
echo honest >honest.txt
