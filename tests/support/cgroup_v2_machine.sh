#!/usr/bin/env bash
# Runs a command on a machine whose cgroups are version 2 alone, with memory, pids and cpu in it: User-mode Linux (a
# kernel that is an ordinary process; Debian's package user-mode-linux) on this machine's files, which it may only read.
#
#   cgroup_v2_machine.sh [--user UID] COMMAND [ARGUMENT...]
#
# In a group that is delegated as systemd's Delegate=yes does it, to root or to UID, who then runs the command.
# Ends as the command did; 77 where there is no such kernel or we are not root. CARREL_LINUX_UML: where it is (default:
# linux.uml in PATH). It has no Landlock, one processor, an empty /tmp and /var/tmp, and no network but its own.
set -euo pipefail

skip() { echo "SKIPPED: $*"; exit 77; }

if [[ ${1:-} != --inside ]]; then
  user=0
  if [[ ${1:-} == --user ]]; then
    user=$2
    shift 2
  fi
  [[ $EUID -eq 0 ]] || skip "only root's files look the same from inside"
  uml=${CARREL_LINUX_UML:-$(command -v linux.uml || true)}
  [[ -x $uml ]] || skip "no User-mode Linux (apt-get install user-mode-linux, or CARREL_LINUX_UML)"
  work=$(mktemp -d /var/tmp/carrel-uml-XXXXXX)
  become=()
  [[ $user == 0 ]] || become=(setpriv --reuid "$user" --regid "$user" --clear-groups env HOME=/)
  { printf 'cd %q; exec' "$PWD"; printf ' %q' "${become[@]}" "$@"; } >"$work/command"
  printf '#!/bin/sh\nexec bash %q --inside %q %q\n' "$(readlink -f "$0")" "$work" "$user" >"$work/init"
  : >"$work/console"
  chmod 755 "$work" "$work/init"
  # Its memory is a file in TMPDIR. In a process group of its own, because some of its helpers outlive it.
  TMPDIR=/dev/shm setsid "$uml" mem=3G root=/dev/root rootfstype=hostfs rootflags=/ ro "init=$work/init" con=null \
    con0=null,fd:1 "umid=$(basename "$work")" "uml_dir=$work" quiet </dev/null >"$work/console" 2>&1 &
  kernel=$!
  end() {
    kill -KILL -- "-$kernel" 2>/dev/null || true
    rm -rf "$work"
  }
  trap end EXIT
  trap 'exit 124' TERM INT
  tail -f --pid=$kernel "$work/console" &
  wait $kernel || true
  wait $!
  code=$(sed -n 's/^carrel-uml: the command ended with \([0-9]*\).*/\1/p' "$work/console" | tail -1)
  exit "${code:-1}"
fi

# Process 1 of the other kernel.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CARREL_TEST_WITHOUT_LANDLOCK=1
mount -t proc proc /proc
mount -t sysfs sys /sys
command=$(<"$2/command")
# The checkout may lie below one of the directories that are empty here.
checkout=$(readlink -f "$(dirname "$0")/../..")
mount --bind "$checkout" /mnt
for directory in /tmp /var/tmp /run /dev/shm; do
  [[ -d $directory ]] || mkdir "$directory"
  mount -t tmpfs none "$directory"
done
if [[ -e $checkout/tests ]]; then
  umount /mnt
else
  mkdir -p "$checkout"
  mount --move /mnt "$checkout"
fi
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t cgroup2 none /sys/fs/cgroup
ulimit -n 65536
ip link set lo up
echo "+memory +pids +cpu" >/sys/fs/cgroup/cgroup.subtree_control
group=/sys/fs/cgroup/service.slice/carrel.service
mkdir -p $group
echo "+memory +pids +cpu" >/sys/fs/cgroup/service.slice/cgroup.subtree_control
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.delegate", b"1")' $group
chown "$3" $group $group/cgroup.{procs,subtree_control,threads}
code=0
(
  echo $BASHPID >$group/cgroup.procs
  eval "$command"
) || code=$?
echo "carrel-uml: the command ended with $code"
left=$(find $group -mindepth 1 -type d ! -name carrel-leaf)
[[ -z $left ]] || echo "carrel-uml: left behind: $left"
halt -f
