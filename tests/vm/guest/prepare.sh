# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# prepare.sh: run once in the new root filesystem (chroot), by run.sh.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
echo creel-vm >/etc/hostname
useradd --create-home --shell /bin/sh --uid 1001 ranged
useradd --create-home --shell /bin/sh --uid 1002 single
# One user has subordinate ids, the other has none.
printf 'ranged:200000:65536\n' | tee /etc/subuid >/etc/subgid
passwd -d root
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/ranged
systemctl mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer \
	e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer systemd-timesyncd.service
