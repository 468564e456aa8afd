# Reaches for addresses with the shell's own network redirections and the tools at hand.
# verdict: COMPLETED | EXITED | RAISED
# prints: reached:.
reached=
for target in 169.254.169.254/80 127.0.0.1/22 127.0.0.1/8080 8.8.8.8/53; do
  (exec 9<>"/dev/tcp/$target") 2>/dev/null && reached+=" tcp $target"
  (echo x >"/dev/udp/$target") 2>/dev/null && reached+=" udp $target"
done
echo "reached:$reached."
