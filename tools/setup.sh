#!/bin/sh
# Makes .venv with what the lock files name and the project itself (editable).
# Usage: tools/setup.sh run|dev      PYTHON=/path/to/python chooses the interpreter.
# A stamp makes the second time instant; a change of the locks, of pyproject.toml or of the folder renews it.
set -eu
cd "$(dirname "$0")/.."

kind=${1:-run}
venv=.venv
# The project's own folder is part of it: scripts in a moved environment point to where it was.
wanted=$(cat requirements.lock requirements-dev.lock pyproject.toml | cksum)" $PWD"

say() { printf 'headwater: %s\n' "$*"; }
fail() { printf 'headwater: %s\n' "$*" >&2; exit 1; }
stamped() { [ "$(cat "$venv/.stamp-$1" 2>/dev/null)" = "$wanted" ]; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if stamped dev || { [ "$kind" = run ] && stamped run; }; then
    exit 0
fi

# The first interpreter that is new enough and can make environments.
find_python() {
    old=yes
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        new_enough "$candidate" || continue
        old=no
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
    done
    if [ "$old" = yes ]; then
        fail "needs Python 3.11 or newer (looked for: ${PYTHON:-python3.13 python3.12 python3.11 python3}).
  Debian 12, Ubuntu 24.04 or newer: apt-get install python3 python3-venv
  elsewhere: https://www.python.org/downloads/, then PYTHON=/path/to/python3 make ..."
    fi
    fail "this Python has no venv module.
  Debian, Ubuntu: apt-get install python3-venv
  or name another one: PYTHON=/path/to/python3 make ..."
}

if ! new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    find_python
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

case $kind in
run) lock=requirements.lock ;;
dev) lock=requirements-dev.lock ;;
*) fail "usage: tools/setup.sh run|dev" ;;
esac
pip() { "$venv/bin/python" -m pip -qq --disable-pip-version-check --no-input "$@"; }

say "installing $(grep -c '==' "$lock") packages of $lock (the first time about a minute)"
pip install --requirement "$lock"
say "installing headwater itself"
pip install --no-deps --editable .
printf '%s\n' "$wanted" >"$venv/.stamp-$kind"
