#!/bin/sh
# Writes requirements.lock and requirements-dev.lock: plain name==version lines for every platform and Python >= 3.11.
# Existing versions are kept where they still fit; UPGRADE=1 takes the newest ones.
set -eu
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
[ -x "$uv" ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links ${UPGRADE:+--upgrade} pyproject.toml --extra embedded "$@" \
        --output-file "$output"
}

compile requirements.lock
compile requirements-dev.lock --extra dev --constraint requirements.lock
