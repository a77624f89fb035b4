#!/usr/bin/env bash
# Prints the path of schemathesis: $HANSE_SCHEMATHESIS, else the one on PATH, else the pinned PyPI package, installed once into a virtual
# environment under .cache.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.cache/schemathesis-venv"

if [ -n "${HANSE_SCHEMATHESIS:-}" ]; then echo "$HANSE_SCHEMATHESIS"; exit 0; fi
if command -v schemathesis >/dev/null; then command -v schemathesis; exit 0; fi

if [ ! -x "$venv/bin/schemathesis" ]; then
  echo "installing schemathesis (PyPI) into .cache/schemathesis-venv" >&2
  mkdir -p "$root/.cache"
  # A run that was interrupted must not leave half an installation. The tree is not moved afterwards: its scripts name its place.
  rm -rf "$venv"
  if ! python3 -m venv "$venv" >&2; then
    echo "python3 cannot make a virtual environment: install python3-venv, or put schemathesis on PATH" >&2
    exit 1
  fi
  if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    -r "$root/deploy/scripts/schemathesis-requirements.txt" >&2; then
    rm -rf "$venv"
    exit 1
  fi
fi
echo "$venv/bin/schemathesis"
