# The shell of a `bash` session: runs one cell after the other, each from the same file, told by bash_driver.py over
# descriptor 9; answers with the cell's status over descriptor 10. What is not the code's own business is hidden from its
# `set -x` by sending the trace away.

shopt -s expand_aliases

# On every end that the shell itself notices: what the next shell is to begin with.
__carrel_save() {
  {
    trap - EXIT INT
    exec 8>/tmp/.carrel/state
    local __carrel_name
    for __carrel_name in $(compgen -v); do
      case $__carrel_name in
        __carrel_* | BASH* | COMP_* | DIRSTACK | EPOCH* | EUID | FUNCNAME | GROUPS | IFS | LINENO | OPTIND | PIPESTATUS | PPID | \
          RANDOM | SECONDS | SHELLOPTS | SHLVL | SRANDOM | UID | _) ;;
        *) declare -p "$__carrel_name" >&8 ;;
      esac
    done
    declare -p IFS >&8
    declare -f >&8
    alias -p >&8
    shopt -p >&8
    umask -p >&8
    printf 'cd -- %q\n' "$PWD" >&8
    set +o >&8
    echo '# whole' >&8
    exec 8>&-
  } 2>/dev/null
}

if [[ -r /tmp/.carrel/state ]]; then
  . /tmp/.carrel/state
fi 2>/dev/null
trap __carrel_save EXIT
echo 0 >&10

# An interrupt ends a cell, and nothing else: between two cells none is meant for us, and one that comes before "start" is
# sent again by who hears that, before he lets the cell run.
while {
  trap '' INT
  IFS= read -r -u 9 __carrel_order
} 2>/dev/null; do
  {
    trap 'exit 130' INT
    echo start >&10
    IFS= read -r -u 9 __carrel_order
  } 2>/dev/null
  . /tmp/.carrel/cell
  {
    __carrel_status=$?
    trap '' INT
    echo "$__carrel_status" >&10
  } 2>/dev/null
done
