# Raises its limits with ulimit.
# verdict: COMPLETED | EXITED | RAISED
# prints: raised:.
raised=
for option in c d f i l n q s u v x; do
  hard=$(ulimit -H -"$option" 2>/dev/null) || continue
  [ "$hard" = unlimited ] && continue
  ulimit -H -"$option" unlimited 2>/dev/null && raised+=" $option"
done
echo "raised:$raised."
