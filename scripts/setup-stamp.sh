# Sourced by podfs and scripts/setup.sh: is everything built, here, from these sources?
#
# Runs at every start, so it starts one process only, find(1): 3 ms. The stamp's time is when the last setup began,
# its content the system it was for: a checkout on a network volume meets other systems, with other C libraries.

# Sets $system, such as "debian 12".
find_system() {
  system=
  [ -r /etc/os-release ] || return 0
  while IFS='=' read -r key value; do
    case $key in
      ID | VERSION_ID)
        value=${value#\"}
        system="$system${system:+ }${value%\"}"
        ;;
    esac
  done </etc/os-release
}

# setup_is_current ROOT
setup_is_current() {
  [ -f "$1/build/setup.stamp" ] && [ -f "$1/dist/cli/main.js" ] && [ -d "$1/node_modules" ] || return 1
  read -r set_up_for <"$1/build/setup.stamp" || return 1
  find_system
  [ "$set_up_for" = "$system" ] || return 1
  # Directories count too: their time changes when a file in them is deleted.
  newer=$(find "$1/src" "$1/native" "$1/binding.gyp" "$1/package-lock.json" "$1/tsconfig.json" \
    -newer "$1/build/setup.stamp" -print -quit 2>/dev/null) || :
  [ -z "$newer" ]
}
