#!/bin/sh
# `npm run check`: everything that can be found wrong without running the program. Runs all checks, says how each went,
# fails if any did.
set -u

cd "$(dirname "$0")/.."
sh scripts/setup.sh --check || exit 1

bin=node_modules/.bin
output=build/check.log
failed=

check() {
  name=$1
  shift
  printf '  %-10s ' "$name"
  started=$(date +%s)
  if "$@" >"$output" 2>&1; then
    echo "ok ($(($(date +%s) - started)) s)"
  else
    echo "failed: $*"
    sed 's/^/    /' "$output"
    failed="$failed $name"
  fi
}

check_native() {
  files=$(find native -name '*.cc' -o -name '*.h')
  # Formatters of different versions disagree; what counts is Debian 12's.
  # shellcheck disable=SC2086
  ${CLANG_FORMAT:-clang-format} --dry-run -Werror $files
}

check types "$bin/tsc" -p tsconfig.test.json
check format "$bin/biome" check --error-on-warnings .
check promises "$bin/eslint" --max-warnings 0 .
check layers "$bin/depcruise" --config .dependency-cruiser.cjs src
check unused "$bin/knip" --no-progress
if command -v "${CLANG_FORMAT:-clang-format}" >/dev/null; then
  check native check_native
else
  echo "  native     skipped: clang-format is not installed"
fi

if [ -n "$failed" ]; then
  echo "failed:$failed"
  exit 1
fi
