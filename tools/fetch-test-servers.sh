#!/usr/bin/env bash
# Unpacks servers that this release of Debian does not have, with every library they need, into a folder of their own:
# MySQL from unstable, and with `all` MariaDB from the next release. Nothing is installed: the tests start them with the loader
# that is unpacked beside them. Where apt-get is absent, or a package is not to be had, it says so in a line and ends with 0;
# the tests that need the server are then skipped by name.
#
# usage: tools/fetch-test-servers.sh [all]    REFLEXDB_TEST_SERVERS names another folder
set -euo pipefail

if [ -n "${REFLEXDB_TEST_SERVERS:-}" ]; then
  servers=$REFLEXDB_TEST_SERVERS
elif [ "$(id -u)" = 0 ]; then
  servers=/var/cache/reflexdb/test-servers # the servers run as another user, who cannot enter root's home
else
  servers=${XDG_CACHE_HOME:-$HOME/.cache}/reflexdb/test-servers
fi

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

mirror() { # the archive that this machine's apt is set up with
  { sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true
    sed -n 's/^deb *\(\[[^]]*\]\)\? *\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null || true
  } | tr ' ' '\n' | grep -v security | head -n 1
}

fetch() { # fetch NAME SUITE PACKAGE
  local name=$1 suite=$2 package=$3 uri options
  [ ! -e "$servers/$name/complete" ] || return 0
  uri=$(mirror)
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null || [ -z "$uri" ]; then
    echo "test: not unpacked: $name; the tests that need it will be skipped"
    return 0
  fi
  echo "test: unpacking $name"
  mkdir -p "$servers"
  work=$(mktemp -d "$servers/.$name.XXXXXX")
  mkdir -p "$work"/apt/state/lists/partial "$work"/apt/cache/archives/partial "$work"/apt/etc "$work/root"
  : >"$work/apt/state/status" # as if nothing were installed, so that every library comes along
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$work/apt/etc/sources.list"
  options=(-o "Dir::State=$work/apt/state" -o "Dir::State::status=$work/apt/state/status" -o "Dir::Cache=$work/apt/cache"
    -o "Dir::Etc::sourcelist=$work/apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o Acquire::Languages=none -o APT::Sandbox::User= -o APT::Install-Recommends=false -o Debug::NoLocking=true)
  if ! { apt-get "${options[@]}" update && apt-get "${options[@]}" --download-only --yes install "$package" &&
    unpack "$work"; } >"$work/log" 2>&1 </dev/null; then
    tail -n 20 "$work/log" >&2
    echo "test: could not unpack $name; the tests that need it will be skipped" >&2
  else
    touch "$work/root/complete"
    chmod 755 "$work/root"
    rm -rf "${servers:?}/$name"
    mv "$work/root" "$servers/$name"
  fi
  rm -rf "$work"
  work=
}

unpack() { # unpack WORK    everything but Perl and what only its scripts use
  local archive
  for archive in "$1"/apt/cache/archives/*.deb; do
    case ${archive##*/} in
      perl* | libperl* | *-perl_* | debconf* | init-system-helpers* | dpkg_* | tar_*) ;;
      *) dpkg-deb -x "$archive" "$1/root" ;;
    esac
  done
  rm -rf "$1"/root/usr/share/{doc,man,locale,mysql-test}
}

fetch mysql unstable mysql-server-core
[ "${1:-}" != all ] || fetch mariadb-next trixie mariadb-server-core
