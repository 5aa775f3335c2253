#!/usr/bin/env bash
# Ends with 0 where a C++ compiler is found: the engine is compiled for each schema, so nothing works without one. As root on Debian
# or Ubuntu it installs one; elsewhere it ends with 1 and one clear message.
set -euo pipefail
cd "$(dirname "$0")/.."

have() {
  local compiler
  for compiler in ${CXX:-c++ g++ clang++}; do
    ! command -v "$compiler" >/dev/null || return 0
  done
  return 1
}

have && exit 0
if [ -z "${CXX:-}" ]; then
  echo "setup: no C++ compiler was found; installing g++"
  ! tools/apt-install.sh g++ 2>/dev/null || ! have || exit 0
fi
echo "A C++20 compiler is needed (looked for: ${CXX:-c++, g++, clang++}), and there is none on PATH." >&2
echo "Install one: 'apt-get install g++' on Debian and Ubuntu, 'dnf install gcc-c++ libstdc++-static glibc-static' on Fedora, 'apk add g++' on Alpine." >&2
exit 1
