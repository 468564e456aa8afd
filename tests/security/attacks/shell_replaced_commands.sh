# Functions, aliases, traps and options in the place of everything that the loop around it may use.
# limits: wall_ms=400
# verdict: any
shopt -s expand_aliases
for name in printf echo read eval exec exit return builtin command source cd kill wait trap true set unset local declare test; do
  eval "$name() { :; }" 2>/dev/null
  alias "$name=false"
done
PROMPT_COMMAND='kill -9 $$' PS0='$(kill -9 $$)' BASH_ENV=/mnt/data/x IFS=$'\001' PATH=/nowhere
trap 'false' DEBUG RETURN ERR EXIT
enable -n printf read eval echo 2>/dev/null
set -euo pipefail -f -n
