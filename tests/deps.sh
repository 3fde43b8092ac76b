#!/usr/bin/env bash
# Installs from Debian's packages what building and testing need, and only what is missing:
#   tests/deps.sh        for make check
#   tests/deps.sh run    for make run, which needs much less
#   tests/deps.sh image  for make image: what makes disks as well
#   tests/deps.sh machine  for make run QEMU=1: what boots a disk as well
#   tests/deps.sh bench  for make bench: what it measures beside holdfast as well
set -euo pipefail
packages=(
	gcc libc6-dev linux-libc-dev musl-tools musl-dev libseccomp-dev
	libcurl4-openssl-dev libssl-dev libcjson-dev libarchive-dev
	python3 binutils util-linux squashfs-tools mmdebstrap curl
)
[ "${1-}" = run ] || packages+=(erofs-utils cryptsetup-bin mtools fdisk systemd-boot-efi)
[ "${1-}" = machine ] && packages+=(qemu-system-x86 ovmf)
case ${1-} in run | image | machine) ;; *) packages+=(
	libcmocka-dev
	clang clang-tidy clang-format cppcheck libclang-rt-14-dev
	file iproute2 procps mandoc
	bzip2 xz-utils zstd dropbear-bin
	python3-botocore openssl
	tini dumb-init catatonit s6 nginx-common
	podman crun runc uidmap busybox-static dhcpcd-base
	qemu-system-x86 ovmf erofs-utils cryptsetup-bin e2fsprogs lz4
	prometheus packer osslsigncode
) ;; esac
[ "${1-}" = bench ] && packages+=(awscli nginx-light wrk mmdebstrap)
missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "these packages are missing and only root can install them: ${missing[*]}" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# Services that packages bring must not start on the machine that only tests with them.
if [ ! -e /usr/sbin/policy-rc.d ]; then
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod +x /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get -q update
apt-get -q install -y --no-install-recommends "${missing[@]}"
