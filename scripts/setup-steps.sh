# Sourced by the scripts that set up: how they say what they do. Before the first step they set $root, and $log, a file
# in it.

say() { echo "podfs: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

# step NAME COMMAND…: one line that says how it went; what the command printed goes to the log.
step() {
  name=$1
  shift
  printf '  %-18s ' "$name" >&2
  started=$(date +%s)
  echo "== $name: $*" >>"$log"
  if "$@" >>"$log" 2>&1 </dev/null; then
    echo "done ($(($(date +%s) - started)) s)" >&2
  else
    echo "failed; the end of $root/$log:" >&2
    sed -n "/^== $name: /,\$p" "$log" | tail -n 20 | sed 's/^/    /' >&2
    exit 1
  fi
}
