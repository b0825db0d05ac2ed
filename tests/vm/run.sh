#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: boots another kernel in QEMU, under software emulation, and runs guest/checks.py there
# with the creel binary of this tree. What is fetched and built once (kernels, one root filesystem
# of this machine's own suite, from this machine's own apt sources) is kept outside the repository.
#
#   tests/vm/run.sh [--kernel 6.1] [--layout v2|v1|systemd] [--creel PATH] [--only WORD[,WORD…]]
#                   [--log FILE]
#
# Prints one line a check, "VM-CHECK NAME ok|FAIL DETAIL", and a last line
# "VM-DONE checks=N failed=N seconds=N boot=N". Exit: 0 all passed, 1 a check failed or the machine
# did not come to its end, 77 a tool, a package or the network is missing (the reason is said).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
creel=${CREEL:-$here/../../build/creel}
cache=${CREEL_TEST_CACHE:-/var/cache/creel-test}/vm
kernel=6.1
layout=v2
only=
log=
seconds=${CREEL_VM_TIMEOUT:-900}

skip() {
	echo "VM-SKIP $*"
	exit 77
}

fail() {
	echo "run.sh: $*" >&2
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--kernel) kernel=$2 && shift 2 ;;
	--layout) layout=$2 && shift 2 ;;
	--creel) creel=$2 && shift 2 ;;
	--only) only=$2 && shift 2 ;;
	--log) log=$2 && shift 2 ;;
	*) fail "unknown option $1" ;;
	esac
done

[ "$(id -u)" = 0 ] || skip "root is needed to make the root filesystem"
for tool in qemu-system-x86_64 debootstrap dpkg-deb mkfs.ext4 apt-get apt-cache flock timeout xz; do
	command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ -x "$creel" ] || fail "$creel does not exist: run make build or set CREEL"
mkdir -p "$cache"
chmod 755 "$cache"

work=$(mktemp -d "${TMPDIR:-/tmp}/creel-vm-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# One builder at a time; what is complete has its name, what is not has another.
exec 9>"$cache/lock"
timeout 1800 flock 9 || fail "another run holds $cache/lock"

# fetch PACKAGE: its files below $cache/PACKAGE_VERSION; prints that directory.
fetch() {
	version=$(apt-cache policy "$1" | sed -n 's/^ *Candidate: //p')
	if [ -z "$version" ] || [ "$version" = "(none)" ]; then
		return 1
	fi
	dir=$cache/$1_$(echo "$version" | tr ':/' '__')
	if [ ! -d "$dir" ]; then
		rm -rf "$work/deb" "$dir.new"
		mkdir "$work/deb"
		(cd "$work/deb" && timeout 300 apt-get -qq -o APT::Sandbox::User=root download "$1") >&2 ||
			return 1
		dpkg-deb -x "$work"/deb/*.deb "$dir.new" || return 1
		rm -rf "$work/deb"
		mv "$dir.new" "$dir"
	fi
	echo "$dir"
}

# The newest cloud kernel of a series that the apt sources offer, without debug or unsigned ones.
kernel_package() {
	apt-cache search --names-only "^linux-image-$(echo "$1" | sed 's/\./\\./g')\\.[0-9].*-cloud-amd64\$" |
		cut -d' ' -f1 | sort -V | tail -n 1
}

suite() {
	apt-get indextargets --format "\$(LABEL) \$(CODENAME) \$(COMPONENT) $1" 'Created-By: Packages' |
		awk '$1 == "Debian" && $3 == "main" && $2 !~ /-/ { print $4; exit }'
}

package=$(kernel_package "$kernel")
[ -n "$package" ] || skip "the apt sources have no cloud kernel $kernel"
kdir=$(fetch "$package") || skip "cannot download $package"
busybox=$(fetch busybox-static) || skip "cannot download busybox-static"
cpio=$(fetch cpio) || skip "cannot download cpio"

# ---- the root filesystem ----

codename=$(suite "\$(CODENAME)")
uri=$(suite "\$(REPO_URI)")
if [ -z "$codename" ] || [ -z "$uri" ]; then
	skip "no Debian suite in the apt sources"
fi
include=python3,uidmap,procps,systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd
stamp=$(printf '%s\n' "$include" "$(cat "$here/guest/prepare.sh")" | cksum | cut -d' ' -f1)
image=$cache/root-$codename-$stamp.ext4
if [ ! -f "$image" ]; then
	echo "run.sh: making $image (once)" >&2
	timeout 1500 debootstrap --variant=minbase --include="$include" "$codename" "$work/root" "$uri" \
		>"$work/debootstrap.log" 2>&1 || {
		tail -n 5 "$work/debootstrap.log" >&2
		skip "debootstrap of $codename did not succeed"
	}
	chroot "$work/root" /bin/sh -s <"$here/guest/prepare.sh" >&2
	rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
	truncate -s 2G "$image.new"
	mkfs.ext4 -q -O ^has_journal -d "$work/root" "$image.new"
	rm -rf "$work/root"
	mv "$image.new" "$image"
fi
exec 9>&-

# ---- the initramfs: busybox, the modules, guest/init ----

mkdir -p "$work/initrd/bin" "$work/initrd/modules" "$work/initrd/root"
cp "$busybox/bin/busybox" "$work/initrd/bin/"
cp "$here/guest/init" "$work/initrd/init"
chmod 755 "$work/initrd/init"
number=10
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
	overlay; do
	file=$(find "$kdir" -name "$module.ko*" | head -n 1)
	number=$((number + 1))
	case $file in
	'') ;; # built in
	*.xz) xz -dc "$file" >"$work/initrd/modules/$number-$module.ko" ;;
	*) cp "$file" "$work/initrd/modules/$number-$module.ko" ;;
	esac
done
(cd "$work/initrd" && find . | "$cpio/bin/cpio" -o -H newc --quiet) >"$work/initrd.cpio"

mkdir "$work/payload"
cp -L "$creel" "$work/payload/creel"
cp "$here"/guest/*.py "$here/guest/start" "$here/guest/creel-vm.service" "$work/payload/"
cp "$busybox/bin/busybox" "$work/payload/busybox"
printf '%s\n' "$layout" >"$work/payload/layout"
printf '%s\n' "$only" >"$work/payload/only"
date -u '+%Y-%m-%d %H:%M:%S' >"$work/payload/date"
tar -C "$work/payload" -cf "$work/payload.tar" .
truncate -s %512 "$work/payload.tar"
truncate -s 64M "$work/scratch.raw"

# ---- the machine ----

# q35 and not microvm: without a PM timer the calibration of the TSC sometimes hangs under TCG.

append="console=ttyS0 quiet loglevel=4 reboot=t panic=-1 mitigations=off"
case $layout in
v2) append="$append cgroup_no_v1=all" ;;
v1) ;;
systemd) # without udev nothing may wait for the serial device
	append="$append cgroup_no_v1=all systemd.show_status=0 systemd.mask=serial-getty@ttyS0.service" ;;
*) fail "--layout is v2, v1 or systemd" ;;
esac
vmlinuz=$(find "$kdir/boot" -name 'vmlinuz-*' | head -n 1)
[ -n "$log" ] || log=$work/console
begin=$(date +%s)
set +e
timeout -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -M q35 \
	-cpu max -smp 2 -m 2048 -nodefaults -no-user-config -display none -no-reboot \
	-serial stdio -kernel "$vmlinuz" -initrd "$work/initrd.cpio" -append "$append" \
	-drive "id=root,file=$image,format=raw,if=none,snapshot=on" -device virtio-blk-pci,drive=root \
	-drive "id=load,file=$work/payload.tar,format=raw,if=none,readonly=on" \
	-device virtio-blk-pci,drive=load \
	-drive "id=scratch,file=$work/scratch.raw,format=raw,if=none" \
	-device virtio-blk-pci,drive=scratch </dev/null >"$log" 2>&1
status=$?
set -e
took=$(($(date +%s) - begin))
tr -d '\r' <"$log" >"$work/lines"
grep -a '^VM-' "$work/lines" | grep -av '^VM-DONE' || true
done_line=$(grep -a '^VM-DONE' "$work/lines" || true)
if [ -z "$done_line" ]; then
	tail -n 30 "$work/lines" >&2
	fail "the machine ended after $took s (qemu: $status) without finishing the checks"
fi
echo "$done_line seconds=$took kernel=$(basename "$vmlinuz" | sed 's/^vmlinuz-//') layout=$layout"
case $done_line in
*' failed=0 '*) exit 0 ;;
*) exit 1 ;;
esac
