#!/bin/sh
# Make .venv from the hash lock: called by make when the lock is newer than .venv/ready.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf 'lab: %s\n  do:  %s\n' "$1" "$2" >&2
    exit 2
}

new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=
for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$name"; then
        python=$name
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed and was not found." \
    "install it, or name it: make PYTHON=/path/to/python3.11 ..."

# Debian and Ubuntu keep the part of Python that makes environments in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ]; then
        root=
    elif sudo -n true 2>/dev/null; then
        root="sudo -n"
    else
        fail "$python cannot make an environment: $package is missing." "sudo apt-get install $package"
    fi
    command -v apt-get >/dev/null || fail "$python has no venv module." "install it for $python"
    echo "lab: installing $package from the distribution"
    install="$root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $package"
    $install >/dev/null 2>&1 || { $root apt-get -qq update && $install >/dev/null; } ||
        fail "$package could not be installed." "sudo apt-get install $package"
fi

echo "lab: making .venv from requirements/host.lock, once (about a minute)"
rm -f .venv/ready
"$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --require-hashes --requirement requirements/host.lock ||
    fail "the environment could not be filled." "see that pip reaches its index (pip config list), then make again"
touch .venv/ready
