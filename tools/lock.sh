#!/usr/bin/env bash
# Resolves pyproject.toml into the three lock files, hashes included and no index named in them. Needs uv (https://docs.astral.sh/uv/).
set -euo pipefail

cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "lock: uv is needed; see https://docs.astral.sh/uv/" >&2; exit 1; }
options=(--generate-hashes --no-header --no-annotate --universal --python-version 3.11 --no-emit-index-url --quiet)
uv pip compile pyproject.toml "${options[@]}" -o requirements.lock
uv pip compile pyproject.toml --group dev "${options[@]}" -o requirements-dev.lock
uv pip compile pyproject.toml --group dev --group bench -c requirements-dev.lock "${options[@]}" -o requirements-bench.lock
