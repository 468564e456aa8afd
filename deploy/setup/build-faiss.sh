#!/usr/bin/env bash
# Builds Debian's own FAISS source package with AVX2, FMA and F16C as a static library.
#
#   build-faiss.sh TARGET DOWNLOADS     TARGET/lib/libfaiss_avx2.a and TARGET/include, which appear whole
#
# The source comes by `apt-get source` from where the machine's own libfaiss-dev comes from, into a private list of
# sources: the machine's is not changed, and root is not needed. faiss.lock names what is taken, by sha256.
# The last line of the output says why, if it fails.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$1 downloads=$2
fail() { echo "$*"; exit 1; }

read -r package version <<<"$(grep -v '^#' "$here/faiss.lock" | head -1)"
mapfile -t files < <(grep '=' "$here/faiss.lock" | grep -v '^#')

whole() {
  local pair
  for pair in "${files[@]}"; do
    echo "${pair##*=}  $downloads/${pair%%=*}" | sha256sum --check --status 2>/dev/null || return 1
  done
}

fetch() {
  local origin keyring=/usr/share/keyrings/debian-archive-keyring.gpg apt=$downloads/apt
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  origin=$(apt-cache policy libfaiss-dev |
    awk '$2 ~ /^http/ && $3 ~ /\/main$/ { split($3, part, "/"); print $2, part[1], part[2]; exit }')
  [[ -n $origin ]] || fail "apt does not say where libfaiss-dev comes from"
  # The list's own place keeps the keyring's meaning: only Debian's key is believed.
  echo "deb-src [signed-by=$keyring] $origin" >"$apt/sources.list"
  local options=(-q -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/nonexistent
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o Acquire::Languages=none -o APT::Sandbox::User=)
  apt-get "${options[@]}" update || fail "apt-get update of the sources failed"
  (cd "$downloads" && apt-get "${options[@]}" source --download-only "$package=$version") ||
    fail "apt-get source $package=$version failed"
  rm -rf "$apt"
}

mkdir -p "$downloads"
whole || fetch
whole || fail "what apt-get source brought does not have the sha256 that faiss.lock names"

work=$(mktemp -d "$target.building-XXXXXX")
trap 'rm -rf "$work"' EXIT
dpkg-source --no-check -x "$downloads/${files[0]%%=*}" "$work/source" || fail "dpkg-source failed"
# Linked into position independent executables; hardened as Debian does it.
nice cmake -S "$work/source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DFAISS_OPT_LEVEL=avx2 \
  -DFAISS_ENABLE_GPU=OFF -DFAISS_ENABLE_PYTHON=OFF -DFAISS_ENABLE_C_API=OFF -DBUILD_TESTING=OFF \
  -DBUILD_SHARED_LIBS=OFF -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
  -DCMAKE_CXX_FLAGS="-fstack-protector-strong -D_FORTIFY_SOURCE=2 -w" || fail "cmake failed"
nice ninja -C "$work/build" -j "${CARREL_JOBS:-$(nproc)}" faiss_avx2 || fail "the compiler failed"

mkdir -p "$work/whole/lib" "$work/whole/include"
cp "$work/build/faiss/libfaiss_avx2.a" "$work/whole/lib/"
(cd "$work/source" && find faiss -name '*.h' -exec cp --parents {} "$work/whole/include/" \;)
cp "$work/source/LICENSE" "$work/whole/"
chmod -R a+rX,go-w "$work/whole"
rm -rf "$target"
mv "$work/whole" "$target"
