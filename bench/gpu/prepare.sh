#!/bin/sh
# Makes one file to take to a machine with a GPU and no network: podfs as it is built here, Node.js, the Python package
# and this benchmark. There:
#
#   tar xf podfs-gpu.tar.xz && python3 podfs-gpu/bench/gpu/run.py --dir DIRECTORY-ON-THE-DISK
#
# usage: sh bench/gpu/prepare.sh [OUTPUT]      (default: build/podfs-gpu.tar.xz)
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd -P)
cd "$root"
output=${1:-build/podfs-gpu.tar.xz}

for built in dist/cli/main.js build/Release/podfs.node node_modules; do
  [ -e "$built" ] || {
    echo "prepare: there is no $built; npm run build makes it" >&2
    exit 1
  }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
target=$folder/podfs-gpu
mkdir -p "$target/node/bin" "$target/build/Release" "$target/python" "$target/bench"

cp "$(node -p process.execPath)" "$target/node/bin/node"
strip "$target/node/bin/node" 2>/dev/null || :
cp build/Release/podfs.node "$target/build/Release/"
cp -R dist package.json "$target/"
cp -R python/src "$target/python/"
cp -R bench/gpu "$target/bench/"
# What runs, without what builds and tests. Some optional packages are for other systems and not there.
node -p 'Object.entries(require("./package-lock.json").packages)
  .filter(([path, { dev }]) => /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev)
  .map(([path]) => path).join("\n")' | while read -r package; do
  [ -d "$package" ] || continue
  mkdir -p "$target/$(dirname "$package")"
  cp -R "$package" "$target/$(dirname "$package")/"
done
find "$target" \( -name __pycache__ -o -name '*.map' -o -name '*.d.ts' \) -prune -exec rm -rf {} +

mkdir -p "$(dirname "$output")"
tar -C "$folder" -cf - podfs-gpu | xz -T0 -6 >"$output"
echo "$output: $(($(wc -c <"$output") / 1000000)) MB"
