#!/usr/bin/env bash
# Ends with 1 and one clear message where no C++ compiler can be found; the engine is compiled for each schema, so nothing works without.
set -euo pipefail

for compiler in ${CXX:-c++ g++ clang++}; do
  if command -v "$compiler" >/dev/null; then
    exit 0
  fi
done
echo "A C++20 compiler is needed (looked for: ${CXX:-c++, g++, clang++}), and there is none on PATH." >&2
echo "Install one: 'apt-get install g++' on Debian and Ubuntu, 'dnf install gcc-c++ libstdc++-static glibc-static' on Fedora, 'apk add g++' on Alpine." >&2
exit 1
