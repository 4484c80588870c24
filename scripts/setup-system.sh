# Sourced by scripts/setup.sh: packages of Debian and Ubuntu. Uses its $test, $check, say and fail.

# Sets $missing to the packages to install, and $required to those without which nothing can be built.
find_missing_system_packages() {
  missing= required=
  command -v g++ >/dev/null || required="$required g++"
  command -v make >/dev/null || required="$required make"
  command -v python3 >/dev/null || required="$required python3"
  if is_debian_node && [ ! -e /usr/include/nodejs/common.gypi ] && [ ! -e /usr/include/node/common.gypi ]; then
    required="$required libnode-dev"
  fi
  # Nobody compiles what is built already.
  if [ "$force$test$check" = nonono ] && setup_is_current "$root"; then required=; fi
  missing=$required
  command -v fusermount3 >/dev/null || missing="$missing fuse3"
  if [ "$test" = yes ]; then find_missing_test_packages; fi
  if [ "$check" = yes ] && ! command -v clang-format >/dev/null; then missing="$missing clang-format"; fi
  missing=${missing# }
}

find_missing_test_packages() {
  command -v git >/dev/null || missing="$missing git"
  command -v sqlite3 >/dev/null || missing="$missing sqlite3"
  command -v getfattr >/dev/null || missing="$missing attr"
  # In a directory that only root has in its PATH.
  [ -x /usr/sbin/setcap ] || missing="$missing libcap2-bin"
  python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
  # Renamed in Ubuntu 24.04, where every time is 64 bits wide.
  ls /lib/*/libfuse.so.2 /usr/lib/*/libfuse.so.2 >/dev/null 2>&1 || missing="$missing libfuse2"
}

# Debian's own Node keeps its headers in a package of their own; others have them beside the binary.
is_debian_node() {
  [ "$(command -v node)" = /usr/bin/node ] && dpkg-query -W -f '${Depends}' nodejs 2>/dev/null | grep -q libnode
}

# Root and CI have asked for it by running us; anybody else is asked. Without the packages in $required there is no
# going on; without the others there is: sets $missing to nothing.
ask_for_system_packages() {
  how="apt-get install $missing"
  if ! command -v apt-get >/dev/null; then
    decline "this is not Debian or Ubuntu, so with its own package manager"
  elif [ "$(id -u)" = 0 ]; then
    :
  elif ! command -v sudo >/dev/null; then
    decline "$how, as root"
  elif [ "${CI-}" = true ]; then
    :
  elif [ -t 0 ] && [ -t 2 ]; then
    printf 'podfs: needs the system packages %s. Install them with sudo? [Y/n] ' "$missing" >&2
    read -r answer || answer=n
    case $answer in
      '' | [Yy]*) sudo -v || decline "sudo $how" ;; # Asks for the password here, where one can type it.
      *) decline "sudo $how" ;;
    esac
  else
    decline "sudo $how"
  fi
}

decline() {
  if [ -n "$required" ]; then fail "cannot be built without$required; to install that: $1"; fi
  say "goes on without $missing; to install that: $1"
  missing=
}

# install_system_packages PACKAGE…
install_system_packages() {
  export DEBIAN_FRONTEND=noninteractive
  # An update that fails in part (somebody's broken third source) may still do: the installation decides.
  as_root apt-get -o DPkg::Lock::Timeout=300 update || :
  packages=
  for package in "$@"; do
    if [ "$package" = libfuse2 ] && ! has_package libfuse2; then package=libfuse2t64; fi
    packages="$packages $package"
  done
  as_root apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages
}

has_package() { apt-cache show "$1" 2>/dev/null | grep -q '^Version:'; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -E "$@"; fi
}
