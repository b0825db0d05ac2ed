#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# profile.sh [CMD [ARG...]]: where the time of one `creel run -- CMD` goes (default CMD: /bin/true).
#
# Every part uses a tool that may be missing, and is named as skipped then. strace slows each system
# call down by tens of microseconds: its times rank the calls, they do not add up to the true total.
# Environment: CREEL (default build/creel), RUNS (default 200), TOP (default 25).
set -eu

repo=$(cd "$(dirname "$0")/.." && pwd)
creel=${CREEL:-$repo/build/creel}
runs=${RUNS:-200}
top=${TOP:-25}
[ $# -gt 0 ] || set -- /bin/true

if [ ! -x "$creel" ]; then
	echo "profile: $creel is not there: run make build, or set CREEL" >&2
	exit 1
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bench-profile.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

title() {
	printf '\n== %s\n' "$*"
}

have() {
	command -v "$1" >/dev/null 2>&1 && return
	echo "skipped: $1 is not installed"
	return 1
}

# Output of the command itself must not mix with the tool's.
run_creel() {
	"$@" >/dev/null 2>"$scratch/stderr" && return
	echo "skipped: exit code $?: $(tail -n 1 "$scratch/stderr")"
	return 1
}

count_calls() {
	title "system calls of all processes by time spent in the kernel (strace -c -f -w)"
	have strace || return 0
	run_creel strace -c -f -w -S time -o "$scratch/count" "$creel" run -- "$@" || return 0
	head -n "$((top + 2))" "$scratch/count"
	tail -n 1 "$scratch/count"
}

slowest_calls() {
	title "single slowest system calls (strace -f -T): seconds, pid, call"
	have strace || return 0
	run_creel strace -f -T -s 60 -o "$scratch/calls" "$creel" run -- "$@" || return 0
	# Waiting is the sum of what the others do, so it would hide everything else.
	grep -Ev 'wait4|waitid|poll|select|epoll_p?wait|futex|read\(.*resumed' "$scratch/calls" |
		sed -n 's/^\(.*\) <\([0-9.]*\)>$/\2 \1/p' | sort -rn | cut -c1-140 | head -n "$top"
}

longest_steps() {
	title "longest steps between two calls of one process (strace -f -r by pid): seconds, pid, call"
	have strace || return 0
	run_creel strace -f -ttt -s 60 -o "$scratch/steps" "$creel" run -- "$@" || return 0
	# What follows a call until the same process' next one belongs to the call before.
	awk '{
		if ($1 in at) printf "%.6f %s\n", $2 - at[$1], call[$1]
		at[$1] = $2; call[$1] = $0
	}' "$scratch/steps" | sort -rn | cut -c1-150 | head -n "$top"
	printf 'calls in all: %s, processes: %s\n' "$(wc -l <"$scratch/steps")" \
		"$(cut -d' ' -f1 "$scratch/steps" | sort -u | wc -l)"
}

time_stat() {
	title "perf stat over $runs runs"
	have perf || return 0
	run_creel perf stat -r "$runs" -o "$scratch/stat" "$creel" run -- "$@" || return 0
	grep -v '^ *$' "$scratch/stat"
}

hot_symbols() {
	title "perf record over $runs runs: top symbols, kernel and user"
	have perf || return 0
	# A loop in a shell of its own, since perf records one command.
	export creel runs
	# shellcheck disable=SC2016 # the inner shell expands these
	run_creel perf record -F 4999 -o "$scratch/perf.data" -- sh -c \
		'i=0; while [ "$i" -lt "$runs" ]; do "$creel" run -- "$@" || exit; i=$((i + 1)); done' \
		sh "$@" || return 0
	perf report -i "$scratch/perf.data" --sort comm,dso,symbol --stdio 2>/dev/null |
		grep -v -e '^#' -e '^$' | head -n "$top"
}

count_calls "$@"
slowest_calls "$@"
longest_steps "$@"
time_stat "$@"
hot_symbols "$@"
