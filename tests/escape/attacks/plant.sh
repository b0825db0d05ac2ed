#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Planting a file that is absent at the start and that somebody outside trusts later
# (CVE-2026-25725): loader, shell, Python and creel's own configuration. Root of the sandbox may
# write in its own layer; the driver then looks for CREEL-PLANTED on the machine. For the
# ordinary user every place but its home, /tmp, /dev/shm and /workspace is closed, unless it is
# the only user that is mapped and so owns the whole image.
# run: planted

broken=0

plant() {
	name=$1
	path=$2
	if (mkdir -p "$(dirname "$path")" && echo CREEL-PLANTED >"$path") 2>/dev/null; then
		if [ "$(id -u)" = 0 ] || [ "$(stat -c %u /etc)" = "$(id -u)" ]; then
			echo "HELD $name written in the layer; the driver looks outside"
		else
			echo "BROKEN $name wrote $path"
			broken=1
		fi
	else
		echo "HELD $name refused"
	fi
}

plant plant.ld_preload /etc/ld.so.preload
plant plant.profile /etc/profile.d/creel-planted.sh
plant plant.cron /etc/cron.d/creel-planted
plant plant.local_bin /usr/local/bin/creel-planted
plant plant.local_sbin /usr/local/sbin/creel-planted
plant plant.usr_bin /usr/bin/creel-planted
plant plant.libc /usr/lib/creel-planted.so
plant plant.sitecustomize /usr/lib/python3/dist-packages/creel_planted.pth
plant plant.creel_config /etc/creel/creel.yaml
plant plant.creel_run /run/creel/creel-planted
plant plant.creel_state /var/lib/creel/creel-planted
plant plant.systemd /etc/systemd/system/creel-planted.service
plant plant.root_rc /root/.bashrc
plant plant.root_directory /creel-planted
plant plant.attacks /attacks/creel-planted
plant plant.proc /proc/creel-planted
plant plant.dev_init /dev/init/creel-planted

# What is mounted read-only stays so even for the sandbox's root.
for path in /attacks/creel-planted-too /proc/sys/creel /proc/creel; do
	if (echo CREEL-PLANTED >"$path") 2>/dev/null; then
		echo "BROKEN plant.read_only wrote $path"
		broken=1
	else
		echo "HELD plant.read_only $path"
	fi
done

exit "$broken"
