#!/bin/bash
# Installs, on Debian and Ubuntu, the system packages that building and testing cryovm need; with --bench also what the
# benchmark compares it with. Only what is missing is asked for, so that running it on a ready machine touches nothing and
# needs neither root nor a network.
set -euo pipefail

# command -> package
declare -A package_of=(
  [gcc]=gcc
  [g++]=g++
  [make]=make
  [flock]=util-linux
)

case "${1:-}" in
  "") ;;
  --bench) package_of[qemu-system-x86_64]=qemu-system-x86 ;;
  *)
    echo "usage: $0 [--bench]" >&2
    exit 2
    ;;
esac

missing=()
for command in "${!package_of[@]}"; do
  command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
done
# The compilers can be there without the headers of the C library and the kernel (linux/kvm.h).
[[ -e /usr/include/stdio.h ]] || missing+=(libc6-dev)
[[ -e /usr/include/linux/kvm.h ]] || missing+=(linux-libc-dev)
# Only a header: what the addon uses of it becomes a part of the addon.
[[ -e /usr/include/xxhash.h ]] || missing+=(libxxhash-dev)

if [[ ${#missing[@]} -eq 0 ]]; then
  echo "nothing to install"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "no apt-get here: install with the system's package manager: ${missing[*]}" >&2
  exit 1
fi
if [[ $(id -u) -ne 0 ]]; then
  echo "needs root to install ${missing[*]}: run \"sudo $0\"" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
# Package lists of an image are often missing or too old; if they cannot be refreshed, the ones there may still do.
apt-get update -qq || echo "apt-get update failed; trying with the package lists that are here" >&2
apt-get install -y -qq --no-install-recommends "${missing[@]}"
