#!/bin/sh
# Builds the embedded guest: kernel, agent, initramfs; packs them for the package.
#
# usage: build.sh [outdir]        default outdir: ../fixtures/guest
# CRYOVM_GUEST_BUILD              the build tree; kept and used again
# JOBS                            how many compilers at a time
#
# Needs the packages of install-build-dependencies.sh, and Node.js.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../fixtures/guest}
tree=${CRYOVM_GUEST_BUILD:-${XDG_CACHE_HOME:-$HOME/.cache}/cryovm-guest}
jobs=${JOBS:-$(nproc)}
archive=/usr/src/linux-source-6.1.tar.xz

mkdir -p "$out" "$tree"
out=$(cd "$out" && pwd)
cd "$tree"

# A tree is only good for the source and the patch it was made from.
stamp=$(cat "$archive" "$here/linux-6.1-pvm.patch" | sha256sum)
if [ "$(cat linux-source-6.1/.cryovm-stamp 2>/dev/null || :)" != "$stamp" ]; then
	rm -rf linux-source-6.1
	tar xf "$archive"
	patch -d linux-source-6.1 -p1 -N <"$here/linux-6.1-pvm.patch"
	echo "$stamp" >linux-source-6.1/.cryovm-stamp
fi

# Whatever else goes into the image, so that the same sources give the same
# bytes with the same compiler.
export KBUILD_BUILD_TIMESTAMP='2024-01-01 00:00:00 UTC'
export KBUILD_BUILD_USER=cryovm KBUILD_BUILD_HOST=guest KBUILD_BUILD_VERSION=1
export SOURCE_DATE_EPOCH=1704067200 LC_ALL=C TZ=UTC

(
	cd linux-source-6.1
	cp "$here/kernel.config" .config
	make olddefconfig >/dev/null
	# a CPU without fast string instructions, such as an emulated one, loses
	# most with those that the compiler would put in line
	make -j"$jobs" KCFLAGS=-mstringop-strategy=libcall vmlinux
	strip -s -o ../vmlinux vmlinux
)
# a boot through PVH needs it, and a strip too many would lose it
readelf -n vmlinux | grep -q 'Xen .*0x00000012' || {
	echo "the PVH entry note is missing from vmlinux" >&2
	exit 1
}

make -C "$here/agent" OUT="$tree"

node "$here/pack.mjs" --kernel "$tree/vmlinux" --init "$tree/init" \
	--busybox /bin/busybox --out "$out" \
	--release "$(cat linux-source-6.1/include/config/kernel.release)"
