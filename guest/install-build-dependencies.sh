#!/bin/sh
# Installs the Debian packages the guest is built from and with, where missing.
set -eu

packages="linux-source-6.1 build-essential flex bison bc libelf-dev libssl-dev
xz-utils musl-tools busybox-static"

missing=
for package in $packages; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086 # a list of names
apt-get install -y --no-install-recommends $missing || {
	apt-get update
	apt-get install -y --no-install-recommends $missing
}
