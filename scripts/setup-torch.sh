#!/bin/sh
# Makes build/python: a virtual environment with what the tests of python/ use (PyTorch, numpy, safetensors, pytest,
# mypy). podfs itself needs none of it, so setup.sh does not do this. When it is there already, this takes a few
# milliseconds.
#
# Fetches 2.4 GB from PyPI, or where pip is told to, and keeps nothing in pip's cache; takes 4.2 GB and two minutes.
#
# usage: sh scripts/setup-torch.sh [--force]
#   --force   make it anew
set -eu

root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
. scripts/setup-steps.sh

environment=build/python
log=build/setup-torch.log

# What the environment was made of: another interpreter or other versions make another one.
describe() {
  python3 -c 'import sys; print(sys.version, sys.prefix)'
  cat scripts/torch-requirements.txt scripts/test-requirements.txt
}

is_current() { [ -f "$environment/podfs.stamp" ] && [ "$(describe)" = "$(cat "$environment/podfs.stamp")" ]; }

install() {
  "$environment/bin/python" -m pip install --no-cache-dir --no-input --progress-bar=off --disable-pip-version-check "$@"
}

try_it() { "$environment/bin/python" -c 'import mypy.api, pytest, safetensors.torch, torch; torch.ones(2).add_(1)'; }

case ${1-} in
  '') ;;
  --force) rm -f "$environment/podfs.stamp" ;;
  *)
    echo "podfs: setup-torch takes --force or nothing" >&2
    exit 2
    ;;
esac

command -v python3 >/dev/null || fail "python3 is needed and there is none; install it (apt-get install python3-venv)"
if is_current; then exit 0; fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python 3.11 or newer is needed for this PyTorch; python3 is $(python3 --version)"
python3 -c 'import ensurepip' 2>/dev/null || fail "python3 lacks venv; install it (apt-get install python3-venv)"

mkdir -p build
if command -v flock >/dev/null; then
  exec 9>build/setup-torch.lock
  flock 9
  if is_current; then exit 0; fi
fi
say "setting up Python for the tests (details in $root/$log)"
: >"$log"
rm -rf "$environment"
step "environment" python3 -m venv "$environment"
step "Python packages" install --requirement scripts/test-requirements.txt
step "PyTorch" install --no-deps --requirement scripts/torch-requirements.txt
step "import torch" try_it
describe >"$environment/podfs.stamp"
