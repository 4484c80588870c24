#!/bin/sh
# The native engine against a bare C loop on /dev/fuse: round trips, and bytes served without passthrough.
# Needs root, a C compiler, and a build (npm run build). Usage: compare.sh [SECONDS_PER_ROW] [SPIN_MICROS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-2}
spin=${2:-50}
work=$(mktemp -d)
mkdir "$work/bare" "$work/podfs"
pids=
finish() {
  umount "$work/bare" "$work/podfs" 2>/dev/null || true
  for pid in $pids; do wait "$pid" || true; done
  rm -rf "$work"
}
trap finish EXIT

cc -O2 -o "$work/bare-loop" "$here/bare-loop.c"
cc -O2 -o "$work/client" "$here/client.c"
head -c 268435456 /dev/urandom >"$work/data"
"$work/bare-loop" "$work/bare" "$work/data" "$spin" &
pids="$pids $!"
node "$here/minimal-session.mjs" "$work/podfs" "$work/data" "$spin" &
pids="$pids $!"
while ! [ -e "$work/bare/file" ] || ! [ -e "$work/podfs/file" ]; do sleep 0.1; done

printf '%-26s %10s %10s %7s\n' what bare podfs ratio
compare() {
  name=$1
  what=$2
  shift 2
  bare=$("$work/client" "$what" "$work/bare/file" "$seconds" "$@")
  podfs=$("$work/client" "$what" "$work/podfs/file" "$seconds" "$@")
  printf '%-26s %10s %10s %7s\n' "$name" "$bare" "$podfs" "$(awk "BEGIN { printf \"%.2f\", $podfs / $bare }")"
}
compare "stat, 1/s" stat
compare "read 1 MiB, MiB/s" read 1048576
compare "direct read 1 MiB, MiB/s" directread 1048576
compare "random read 4 KiB, 1/s" randread 4096
compare "write 1 MiB, MiB/s" write 1048576
compare "random write 4 KiB, 1/s" randwrite 4096
