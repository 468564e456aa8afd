#!/usr/bin/env bash
# Runs a test with the workspaces of its sessions on disk, in images below a directory that is made for them:
#
#   workspaces_on_disk.sh DIRECTORY COMMAND [ARGUMENT...]
#
# Ends as the command did; 77 where there are no loop devices or we are not root.
set -euo pipefail

if [[ $EUID -ne 0 || ! -e /dev/loop-control ]]; then
  echo "SKIPPED: only root with loop devices mounts images"
  exit 77
fi
mkdir -p -m 700 "$1"
export CARREL_TEST_WORKSPACES=$1
shift
exec "$@"
