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
# Waiting is the sum of what the others do: it would hide everything else.
waits='wait4|waitid|poll|select|epoll_p?wait|futex|pause|recvmsg|read\(.*(resumed|unfinished)'
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
	grep -Ev "$waits" "$scratch/calls" |
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
	}' "$scratch/steps" | grep -Ev "$waits" | sort -rn | cut -c1-150 | head -n "$top"
	printf 'calls in all: %s, processes: %s\n' "$(wc -l <"$scratch/steps")" \
		"$(cut -d' ' -f1 "$scratch/steps" | sort -u | wc -l)"
}

# What a process pays before main: page faults, relocations, and the C library's CPUID queries, each
# of which leaves a virtual machine (3.9 us measured; glibc makes about a hundred, musl none).
own_start() {
	title "creel's own start-up: perf stat over $runs runs of creel --version"
	have perf || return 0
	run_creel perf stat -r "$runs" -o "$scratch/own" "$creel" --version || return 0
	grep -E 'task-clock|page-faults|elapsed' "$scratch/own"
}

time_stat() {
	title "perf stat over $runs runs"
	have perf || return 0
	run_creel perf stat -r "$runs" -o "$scratch/stat" "$creel" run -- "$@" || return 0
	grep -v '^ *$' "$scratch/stat"
}

record() {
	have perf || return
	# A loop in a shell of its own, since perf records one command.
	export creel runs
	# shellcheck disable=SC2016 # the inner shell expands these
	run_creel perf record -g -F 4999 -o "$scratch/perf.data" -- sh -c \
		'i=0; while [ "$i" -lt "$runs" ]; do "$creel" run -- "$@" || exit; i=$((i + 1)); done' \
		sh "$@"
}

report() {
	perf report -i "$scratch/perf.data" --stdio -g none "$@" 2>/dev/null | grep -v -e '^#' -e '^$'
}

kernel_entries() {
	title "share of all CPU time by kernel entry, over $runs runs (perf record)"
	report --children --sort symbol |
		grep -E '__(x64|arm64|do)_sys_|exc_page_fault|el0_da|do_exit' |
		grep -v -e '_sys_vfork' -e 'asm_exc' | head -n "$top"
}

hot_symbols() {
	title "top symbols, kernel and user"
	report --no-children --sort comm,dso,symbol | head -n "$top"
}

count_calls "$@"
slowest_calls "$@"
longest_steps "$@"
own_start
time_stat "$@"
if record "$@"; then
	kernel_entries
	hot_symbols
fi
