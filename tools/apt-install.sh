#!/usr/bin/env bash
# Installs Debian packages without starting their services: tools/apt-install.sh PACKAGE...
# Ends with 1 and the reason on standard error where it may not (only root may, and only apt-get is used) or where apt-get fails.
set -euo pipefail

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ ! -e /etc/debian_version ]; then
  echo "not root on Debian or Ubuntu" >&2
  exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=
cleanup() {
  [ -z "$made_policy" ] || rm -f "$policy"
  rm -f "$log"
}
trap cleanup EXIT
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  made_policy=1
fi

export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  exit 1
fi
