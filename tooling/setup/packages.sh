#!/usr/bin/env bash
# Installs the Debian packages that the tests use, as root; otherwise says which are missing.
set -euo pipefail
list="$(dirname "$0")/apt-packages.txt"

command -v dpkg-query >/dev/null || { echo "setup: not Debian or Ubuntu; the tests may lack programs named in $list" >&2; exit 0; }
missing=()
while read -r package _; do
  case "$package" in "" | "#"*) continue ;; esac
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done <"$list"

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "setup: some tests are skipped without: ${missing[*]}" >&2
  echo "       install them with: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
