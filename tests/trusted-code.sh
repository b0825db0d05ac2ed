#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the lines of code of every component (no blank lines, no comments, no tests), as the table
# of docs/SECURITY.md has them. With --check it fails if the table is off by more than a tenth.
set -eu
cd "$(dirname "$0")/.."
status=0
for folder in src/cell src/base src/seccomp src/limits src/audit src/store src/guest src/sandbox \
	src/cmd/creel; do
	lines=0
	for file in "$folder"/*.c "$folder"/*.h; do
		case $file in */test-* | */fuzz-* | */seccomp-gen.c | */bin2c.c) continue ;; esac
		n=$(cc -fpreprocessed -dD -E -P "$file" 2>/dev/null | grep -c '[^[:space:]]')
		lines=$((lines + n))
	done
	printf '%-16s %5d\n' "${folder#src/}" "$lines"
	if [ "${1:-}" = --check ]; then
		said=$(sed -n "s#^| \`${folder#src/}/\`[^|]*|[^|]*| *\([0-9]*\) |.*#\1#p" docs/SECURITY.md)
		if [ -z "$said" ] || [ $((said * 10)) -lt $((lines * 9)) ] || [ $((said * 10)) -gt $((lines * 11)) ]; then
			printf 'docs/SECURITY.md says %s lines for %s\n' "${said:-nothing}" "$folder" >&2
			status=1
		fi
	fi
done
exit $status
