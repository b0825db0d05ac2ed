#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Files of the machine that the sandbox must not read: root-only files that come along with /usr
# (an idmapped /usr would give them to the sandbox's root), passwords, keys, other homes. The
# driver leaves canaries: /usr/local/share/creel-canary (0600), /usr/local/share/creel-secret/
# (0700) and /root/creel-canary, each holding the word CREEL-CANARY; it also compares what could
# be read with the machine's copy.
# run: canaries

broken=0

held() {
	echo "HELD $*"
}

broke() {
	echo "BROKEN $*"
	broken=1
}

# Nothing of the file may be read, by whatever path.
unreadable() {
	name=$1
	path=$2
	if text=$(head -c 200 "$path" 2>/dev/null) && [ -n "$text" ]; then
		broke "$name" "read $path"
	else
		held "$name" "$path"
	fi
}

unreadable secrets.usr_file /usr/local/share/creel-canary
unreadable secrets.usr_directory /usr/local/share/creel-secret/inner
unreadable secrets.usr_dotdot /usr/share/../local/share/creel-secret/inner
unreadable secrets.usr_through_proc /proc/self/root/usr/local/share/creel-canary
unreadable secrets.root_home /root/creel-canary
unreadable secrets.shadow /etc/shadow
unreadable secrets.gshadow /etc/gshadow
unreadable secrets.shadow_backup /etc/shadow-
unreadable secrets.sudoers /etc/sudoers
unreadable secrets.machine_id /etc/machine-id
unreadable secrets.proc_init_root /proc/1/root/etc/shadow
unreadable secrets.host_environ /proc/1/environ

if ls /usr/local/share/creel-secret/* >/dev/null 2>&1; then
	broke secrets.usr_listing "listed /usr/local/share/creel-secret"
else
	held secrets.usr_listing "closed"
fi

# The sandbox's root may own a copy by copy-up; its content must still not be the machine's.
if cp /usr/local/share/creel-canary /tmp/copied 2>/dev/null &&
	grep -q CREEL-CANARY /tmp/copied; then
	broke secrets.usr_copy "copied"
else
	held secrets.usr_copy "refused"
fi
chmod 0644 /usr/local/share/creel-canary 2>/dev/null
unreadable secrets.usr_after_chmod /usr/local/share/creel-canary
chown "$(id -u)" /usr/local/share/creel-canary 2>/dev/null
unreadable secrets.usr_after_chown /usr/local/share/creel-canary
chmod 0755 /usr/local/share/creel-secret 2>/dev/null
unreadable secrets.usr_directory_after_chmod /usr/local/share/creel-secret/inner
mv /usr/local/share/creel-secret /usr/local/share/creel-moved 2>/dev/null
unreadable secrets.usr_directory_after_move /usr/local/share/creel-moved/inner
ln /usr/local/share/creel-canary /tmp/linked 2>/dev/null
unreadable secrets.usr_hard_link /tmp/linked

readable=
for path in /etc/ssh/*key /etc/ssl/private/* /etc/*-key.pem /home/*/.ssh/* /root/.ssh/* \
	/home/*/.aws/* /home/*/.netrc /var/log/* /srv/* /mnt/* /media/* \
	/boot/* /run/creel/* /run/user/* /run/dbus/* /run/docker.sock /run/containerd/* \
	/var/run/docker.sock /var/spool/cron/*; do
	if [ -e "$path" ] && [ -r "$path" ] && [ ! -d "$path" ]; then
		readable="$readable $path"
	fi
done
if [ -n "$readable" ]; then
	broke secrets.elsewhere "$readable"
else
	held secrets.elsewhere "no keys, logs, sockets"
fi

# The users of the machine: a generated passwd holds only the sandbox's.
if [ -n "$ATTACK_MACHINE_USER" ] && grep -q "^$ATTACK_MACHINE_USER:" /etc/passwd 2>/dev/null; then
	broke secrets.users "$ATTACK_MACHINE_USER is in /etc/passwd"
else
	held secrets.users "no user of the machine"
fi

exit "$broken"
