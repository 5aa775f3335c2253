#!/usr/bin/env bash
# Installs MariaDB, PostgreSQL, docker-registry and skopeo for the tests where they are missing: only as root, only with apt-get, and
# without starting the packaged services (the tests start private servers of their own). Anywhere else it says so in a line and ends
# with 0; the tests that need a missing one are then skipped by name.
# Servers of other versions need no root: MySQL and the newest PostgreSQL, or each version with the argument `all`.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = all ]; then versions="13 14 15 16 17 18"; else versions=18; fi
# shellcheck disable=SC2086 # a word each
.venv/bin/python -m tests.servers.install_postgres $versions

tools/fetch-test-servers.sh "$@"

missing=()
command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
command -v docker-registry >/dev/null || missing+=(docker-registry)
command -v skopeo >/dev/null || missing+=(skopeo)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ ! -e /etc/debian_version ]; then
  echo "test: not installed: ${missing[*]}; the tests that need them will be skipped"
  exit 0
fi

echo "test: installing ${missing[*]}"
tools/apt-install.sh "${missing[@]}" || echo "test: could not install ${missing[*]}; the tests that need them will be skipped" >&2
