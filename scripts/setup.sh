#!/bin/sh
# Sets up what podfs needs on this machine: compiler, python3 (for node-gyp), fuse3, npm packages, the native addon,
# the compiled TypeScript. What is there already is left alone; when everything is, this takes a few milliseconds.
#
# Fetches from the npm registry and from Debian's or Ubuntu's packages, from nowhere else.
#
# usage: sh scripts/setup.sh [--force] [--test] [--check]
#   --force   build again even if nothing changed
#   --test    also what the tests use: git, python3-venv, sqlite3, libfuse2, attr, libcap2-bin
#   --check   also what `npm run check` uses: clang-format
set -eu

root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
. scripts/setup-stamp.sh
. scripts/setup-steps.sh
. scripts/setup-system.sh

force=no test=no check=no
for argument in "$@"; do
  case $argument in
    --force) force=yes ;;
    --test) test=yes ;;
    --check) check=yes ;;
    *)
      echo "podfs: setup does not know $argument; it takes --force, --test and --check" >&2
      exit 2
      ;;
  esac
done

log=build/setup.log

check_node() {
  command -v node >/dev/null || fail "Node.js 20.19 or newer is needed and there is none; install it (https://nodejs.org)"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    fail "Node.js 20.19 or newer is needed; $(command -v node) is $(node --version)"
  command -v npm >/dev/null || fail "npm is needed and there is none; install it (it comes with Node.js)"
}

# Sets $headers_root to what node-gyp is to be given as --nodedir, so that it downloads nothing: Node's own tarball and
# NodeSource have the headers in PREFIX/include/node, Debian's libnode-dev in /usr/include/nodejs.
find_node_headers() {
  prefix=$(node -p 'require("node:path").dirname(require("node:path").dirname(process.execPath))')
  for headers_root in "$prefix" /usr "$prefix/include/nodejs" /usr/include/nodejs; do
    [ -f "$headers_root/include/node/common.gypi" ] || [ -f "$headers_root/common.gypi" ] && return 0
  done
  return 1
}

# Not `npm ci`: it refuses a lock file without the optional packages for other systems, and that is what one gets where
# the registry has only some of them. With --no-save, install keeps to the lock file as well, and does not rewrite it.
install_packages() {
  # No package gets to run a script: every native module we use comes prebuilt in its tarball, and some would download
  # from elsewhere. NODE_ENV=production must not take the compiler away, nor `npm run --silent` the error message.
  npm install --no-save --ignore-scripts --no-audit --no-fund --include=dev --include=optional --loglevel=notice
}

build_addon() {
  JOBS=max node node_modules/node-gyp/bin/node-gyp.js configure build "--nodedir=$headers_root"
}

# Into a new directory that then takes the old one's place: whoever starts meanwhile sees the old or the new one, and
# files whose source is gone do not stay.
build_typescript() {
  rm -rf build/dist-new build/dist-old
  node node_modules/typescript/bin/tsc -p tsconfig.json --outDir build/dist-new || return 1
  if [ -e dist ]; then mv dist build/dist-old; fi
  mv build/dist-new dist
  rm -rf build/dist-old
}

set_up() {
  say "setting up (details in $root/$log)"
  : >"$log"
  find_system
  # Sources that change while we build are newer than this, so that the next start builds again.
  echo "$system" >build/setup.started
  if [ -n "$required" ]; then
    step "system packages" install_system_packages $missing
  elif [ -n "$missing" ]; then
    # A machine that cannot reach its packages may do without these.
    (step "system packages" install_system_packages $missing) || say "goes on without $missing"
  fi
  find_node_headers || fail "Node's headers are neither in $prefix/include/node nor in /usr/include/node; \
install Node.js from its own tarball or from NodeSource, which have them, or Debian's libnode-dev"
  node scripts/packages-are-current.mjs || step "npm packages" install_packages
  step "native addon" build_addon
  step "TypeScript" build_typescript
  mv build/setup.started build/setup.stamp
}

check_node
find_missing_system_packages
if [ "$force" = no ] && [ -z "$missing" ] && setup_is_current "$root"; then exit 0; fi

mkdir -p build 2>/dev/null || fail "cannot write to $root; podfs builds itself there the first time: run it as who owns it"
if command -v flock >/dev/null; then
  exec 9>build/setup.lock
  if ! flock -n 9; then
    say "waiting for another setup in $root to end"
    flock 9
    find_missing_system_packages
    # The other one has done it.
    if [ -z "$missing" ] && setup_is_current "$root"; then exit 0; fi
  fi
fi
if [ -n "$missing" ]; then ask_for_system_packages; fi
if [ "$force" = yes ] || [ -n "$missing" ] || ! setup_is_current "$root"; then set_up; fi
