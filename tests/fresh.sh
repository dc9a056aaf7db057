#!/usr/bin/env bash
# The README's commands on a machine that has nothing else, in a clean checkout of HEAD with an empty environment.
#   tests/fresh.sh test                      make test, as a plain user in a new, bare Debian (by debootstrap)
#   tests/fresh.sh demo                      make demo, likewise
#   tests/fresh.sh --hidden test             cheaper: on this machine, with what the tests could find on it hidden
#   tests/fresh.sh test TESTS=tests/builtin  some of the tests; any variable of the Makefile
# Wants root. Packages come by the configuration of apt and pip on this machine. FRESH_DIR=/some/folder keeps what is made.
set -euo pipefail
cd "$(dirname "$0")/.."
hidden=false
if [ "${1:-}" = --hidden ]; then hidden=true && shift; fi
[ $# -gt 0 ] || set -- test
home=${FRESH_DIR:-$(mktemp -d)}
[ "${FRESH_DIR:-}" ] || trap 'rm -rf "$home"' EXIT
mkdir -p "$home"

clients() { # the environment by which pip finds its packages
  env | grep -E '^(PIP_[A-Z_]+|(https?|no|all)_proxy|SSL_CERT_FILE)=' || true
}

checkout() { # HEAD, in a new folder
  rm -rf "$1" && mkdir -p "$1"
  git archive HEAD | tar -x -C "$1"
}

bare() { # a Debian with the four packages that the README asks for
  local mirror
  # shellcheck disable=SC2016 # apt's variables
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
    awk '$1 == "Debian" && $2 !~ /-/ {print $2, $3; exit}')
  debootstrap --variant=minbase --include=ca-certificates,make,python3,python3-venv "${mirror% *}" "$1" "${mirror#* }"
  chroot "$1" useradd --create-home fresh
}

configure() { # the configuration of pip, and the files that it names, at the same places as here
  local path
  for path in $(pip config debug | sed -n 's/^ *\(.*\), exists: True$/\1/p'); do
    case $path in
      "$HOME"/*) install -D -m 644 "$path" "$1/home/fresh${path#"$HOME"}" ;;
      *) install -D -m 644 "$path" "$1$path" ;;
    esac
  done
  # An index on disk, in a folder simple/, keeps its files beside that.
  for path in $(pip config list | grep -o "/[^' ]*" | sed 's,^//*,/,; s,/simple/*$,,' | sort -u); do
    if [ -d "$path" ]; then mkdir -p "$1$path" && mount --bind -o ro "$path" "$1$path"; fi
    if [ -f "$path" ]; then install -D -m 644 "$path" "$1$path"; fi
  done
  install -m 644 /etc/resolv.conf /etc/hosts "$1/etc"
}

inside() { # in the bare root, seen by no one else
  local root=$1
  shift
  mount --bind "$root" "$root" && mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
  mount -t tmpfs shm "$root/dev/shm"
  configure "$root"
  # shellcheck disable=SC2046 # one word each
  chroot --userspec=fresh:fresh "$root" env -i $(clients) HOME=/home/fresh PATH=/usr/local/bin:/usr/bin:/bin \
    make --no-print-directory -C /home/fresh/counterpoise "$@"
}

hide() { # here, with a new home, plain tools alone on the path, and nothing in Debian's own places
  local tool
  mkdir -p "$home/bin" "$home/user"
  for tool in bash cat cp env find grep id ln ls make mkdir mv rm sed sh sleep tar touch uname; do
    ln -sf "$(command -v $tool)" "$home/bin/$tool"
  done
  for tool in /usr/lib/postgresql /usr/share/datasets; do
    [ ! -d "$tool" ] || mount -t tmpfs hidden "$tool"
  done
  if [ -e ~/.config/pip ]; then mkdir -p "$home/user/.config" && cp -r ~/.config/pip "$home/user/.config"; fi
  # shellcheck disable=SC2046 # one word each
  env -i $(clients) HOME="$home/user" PATH="$home/bin" \
    make --no-print-directory -C "$home/counterpoise" "PYTHON=$(python3 -c 'import sys; print(sys.executable)')" "$@"
}

if [ "${FRESH_APART:-}" ]; then
  trap - EXIT
  if $hidden; then hide "$@"; else inside "$home/root" "$@"; fi
  exit
fi
if $hidden; then
  checkout "$home/counterpoise"
else
  [ -d "$home/root/home/fresh" ] || bare "$home/root" > "$home/debootstrap.log"
  checkout "$home/root/home/fresh/counterpoise"
  chroot "$home/root" chown -R fresh:fresh /home/fresh
fi
apart() { # in a namespace of its own: mounts and processes end with it
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    env FRESH_APART=1 FRESH_DIR="$home" "$PWD/tests/fresh.sh" "$@"
}
options=()
if $hidden; then options=(--hidden); fi
time apart "${options[@]}" install
time apart "${options[@]}" "$@"
