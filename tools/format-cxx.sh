#!/usr/bin/env bash
# Runs clang-format of the virtual environment over all C++ of the project, with the arguments given.
# Usage: tools/format-cxx.sh PYTHON [clang-format arguments]
set -euo pipefail

clang_format=$(dirname "$1")/clang-format
shift
cd "$(dirname "$0")/.."
find src/reflexdb/engine tests bench -type f \( -name '*.cc' -o -name '*.h' \) -print0 | xargs -0 -r "$clang_format" --style=file "$@"
