# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What ./demo and ./check share: saying what is installed, and installing it. Sourced, not run.
# Root is used here for apt-get alone, and only for packages that are not there yet.

# The system's own programs first: a python3 of pyenv or conda has none of Debian's modules.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH

# What a build needs. libc6-dev is only recommended by gcc; uidmap has newuidmap for rootless runs.
# Read by the scripts that source this file.
# shellcheck disable=SC2034
BUILD_PACKAGES='meson ninja-build gcc libc6-dev pkgconf libseccomp-dev libyaml-dev libsodium-dev libjansson-dev
	zlib1g-dev musl-tools linux-libc-dev uidmap python3'

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

is_root() {
	[ "$(id -u)" -eq 0 ]
}

# Whether as_root can work at all; without a terminal nobody could type a password.
can_be_root() {
	is_root && return 0
	if [ -t 0 ]; then
		command -v sudo >/dev/null 2>&1 || command -v su >/dev/null 2>&1
	else
		command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null
	fi
}

# Runs a command as root. Its words must not need quoting: su joins them again.
as_root() {
	if is_root; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		if [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi
	else
		su root -c "$*"
	fi
}

package_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The given packages that are not installed, in one line.
missing_packages() {
	missing=
	for package in "$@"; do
		package_installed "$package" || missing="$missing $package"
	done
	printf '%s' "${missing# }"
}

# Asks apt-get what it would do; needs no root. The packages come as one word.
package_sizes() {
	# shellcheck disable=SC2086 # one word each
	LC_ALL=C apt-get -o Debug::NoLocking=1 --assume-no --no-install-recommends install $1 \
		2>/dev/null </dev/null | grep -E '^(Need to get|After this operation)' || true
}

packages_known() {
	# shellcheck disable=SC2086
	apt-get -s --no-install-recommends install $1 >/dev/null 2>&1 </dev/null
}

# need_packages PURPOSE PACKAGE...: installs what is missing, and says so first.
need_packages() {
	purpose=$1
	shift
	if ! command -v apt-get >/dev/null 2>&1; then
		say "This is no Debian or Ubuntu: nothing is installed. $purpose: needed is what they call $*"
		return 0
	fi
	wanted=$(missing_packages "$@")
	if [ -z "$wanted" ]; then
		say "$purpose: every package that is needed is installed."
		return 0
	fi
	say "$purpose: these Debian packages are needed:"
	say "    $wanted" | fold -s -w 96 | sed '2,$s/^/    /'
	command="apt-get install --no-install-recommends $wanted"
	is_root || say "Root is needed for apt-get, and for nothing else in this step."
	can_be_root || die "cannot become root here (no sudo without a password). Run this as root, then start ${0##*/} again:
    $command"
	if ! packages_known "$wanted"; then
		say "Fetching the package lists (apt-get update)..."
		as_root apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >/dev/null ||
			die "apt-get update failed: is there a network?"
		# shellcheck disable=SC2086
		packages_known "$wanted" ||
			die "apt-get cannot install them: $(apt-get -s install $wanted 2>&1 </dev/null | tail -n 3)"
	fi
	package_sizes "$wanted" | sed 's/^/    /'
	say "Installing..."
	install_packages "$wanted"
}

install_packages() {
	install_log=$(mktemp)
	# shellcheck disable=SC2086
	if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		--no-install-recommends install $1 </dev/null >"$install_log" 2>&1; then
		cat "$install_log" >&2
		rm -f "$install_log"
		die "apt-get could not install them (its output is above)"
	fi
	rm -f "$install_log"
}
