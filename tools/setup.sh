#!/usr/bin/env bash
# Makes the virtual environment named by the first argument: a Python of 3.11 or later, every dependency at its locked hash, and
# this package, editable. Called by `make setup`. Writes nothing but that directory (as root on Debian or Ubuntu it installs Python first, if
# that is missing); ends with its stamp, so that a broken run is repeated.
set -euo pipefail

venv=${1:?usage: tools/setup.sh VENV}
cd "$(dirname "$0")/.."

# `python3 -m venv` needs a package of its own on Debian and Ubuntu; a system without Python needs both.
install_python() {
  echo "setup: installing python3 and python3-venv"
  tools/apt-install.sh python3 python3-venv 2>/dev/null
}

makes_venv() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null
}

fits() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    if command -v "$candidate" >/dev/null && fits "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  echo "setup: Python 3.11 or later is needed; found $(${PYTHON:-python3} --version 2>&1 || echo none)." >&2
  echo "       Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name it: make setup PYTHON=/path/to/python3.11" >&2
  return 1
}

if [ -z "${PYTHON:-}" ] && ! command -v python3 >/dev/null; then install_python || true; fi
python=$(find_python)

if ! { [ -x "$venv/bin/python" ] && fits "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
  makes_venv "$python" || install_python || true
  echo "setup: making $venv with $("$python" --version)"
  rm -rf "$venv"
  if ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "setup: '$python -m venv' failed. On Debian and Ubuntu it needs one more package: apt-get install python3-venv" >&2
    exit 1
  fi
fi

rm -f "$venv/.ready"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet)
echo "setup: installing the locked dependencies"
"${pip[@]}" install --require-hashes --only-binary :all: -r requirements-dev.lock
echo "setup: installing reflexdb"
"${pip[@]}" install --no-deps --no-build-isolation --editable .
touch "$venv/.ready"
echo "setup: done; the command is $venv/bin/reflexdb"
