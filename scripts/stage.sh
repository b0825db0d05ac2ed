#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One stage of ./check: stage.sh NAME. Exits with 0 if all is well and 77 if the stage cannot be had
# here, with the reason in its last line. ./check runs each in its own process, because `set -e`
# means nothing in a function whose result is tested.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

OUT='build-check'
JOBS=$(nproc)

# Tracked files that are there, or the tree's own where it is no checkout; a clone that another user
# made is read all the same.
tracked() {
	if [ -e .git ]; then
		git -c safe.directory='*' ls-files -- "$@"
	else
		for pattern in "$@"; do
			find . -path './build*' -prune -o -type f -path "./$pattern" -print | sed 's|^\./||'
		done
	fi | sort -u | while IFS= read -r file; do
		if [ -f "$file" ]; then printf '%s\n' "$file"; fi
	done
}

c_files() {
	tracked 'src/*.c' 'tests/*.c' 'bench/*.c'
}

h_files() {
	tracked 'src/*.h' 'tests/*.h' 'bench/*.h'
}

shell_files() {
	tracked '*' | while IFS= read -r file; do
		case $file in
		*.sh) printf '%s\n' "$file" ;;
		*) if head -n 1 "$file" 2>/dev/null | grep -qE '^#!.*[/ ](sh|bash|dash)( |$)'; then
			printf '%s\n' "$file"
		fi ;;
		esac
	done
}

# Fails and names what it was given, one a line, on standard input.
none_of() {
	found=$(cat)
	[ -z "$found" ] && return 0
	printf '%s:\n%s\n' "$1" "$found"
	return 1
}

stage_spdx() {
	tracked '*.c' '*.h' '*.py' '*.sh' '*meson.build' Makefile demo check .ci/run |
		while IFS= read -r file; do
			head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
				printf '%s\n' "$file"
		done | none_of "no SPDX line among the first three"
}

# What names this machine: the directory of this checkout, and the hosts that packages come from
# here. Derived, so that no such name stands in this file.
machine_words() {
	pwd -P
	{
		cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources
		env | grep -iE '^(pip_|npm_|uv_|http_proxy|https_proxy|goproxy|cargo_)'
	} 2>/dev/null | grep -oE 'https?://[^/ "]+' | sed 's|.*//||; s|.*@||; s|:[0-9]*$||'
}

stage_paths() {
	machine_words | sort -u | while IFS= read -r word; do
		# As a whole: the checkout's path may be the beginning of another one.
		pattern=$(printf '%s' "$word" | sed 's/[].[*^$\\]/\\&/g')'([^[:alnum:]_.-]|$)'
		[ "${#word}" -lt 6 ] || tracked '*' | tr '\n' '\0' |
			xargs -0 grep -IlE -e "$pattern" /dev/null | sed "s|\$|: names $word|"
	done | none_of "paths of this machine, or hosts of a package registry"
	tracked '*' | tr '\n' '\0' | xargs -0 grep -InE '(/home/[a-z]+/\.|/root/\.)(pyenv|nvm|cargo)' /dev/null |
		none_of "somebody's own tools"
}

stage_shell() {
	shell_files | tr '\n' '\0' | xargs -0 shellcheck -x
}

# Other versions format differently, so only 14 (Debian 12's) decides.
stage_format() {
	if command -v clang-format-14 >/dev/null 2>&1; then
		{ c_files; h_files; } | tr '\n' '\0' | xargs -0 clang-format-14 --dry-run -Werror
	else
		say "clang-format-14 is not to be had here, and other versions format differently"
		exit 77
	fi
}

stage_cell() {
	tests/count-cell.sh
	tests/trusted-code.sh --check
}

# setup DIR OPTION...: configures once; a directory that cannot be reused is made anew.
setup() {
	dir=$OUT/$1
	shift
	[ ! -f "$dir/build.ninja" ] || meson setup --reconfigure "$dir" "$@" >/dev/null 2>&1 || rm -rf "$dir"
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >"$dir.setup.log" 2>&1 || {
		cat "$dir.setup.log"
		return 1
	}
}

# Everything in the directory, and nothing the compiler would like to tell.
compile() {
	log=$OUT/$1.log
	ninja -C "$OUT/$1" >"$log" 2>&1 || {
		grep -v '^\[' "$log"
		return 1
	}
	grep -E 'warning:|error:' "$log" | none_of "warnings"
	tail -n 1 "$log"
}

stage_gcc() {
	CC=gcc setup gcc --werror
	compile gcc
}

stage_clang() {
	CC=clang setup clang --werror
	compile clang
}

# The special build of the escape suite; the product has no such switch.
stage_ablation_build() {
	CC=gcc setup ablation --werror -Dablation=true
	compile ablation
}

# The files that the build knows, by the flags that it uses for them. One file a process: the analyzer
# of clang 14 takes a va_list of the second file for an uninitialized one. A test may include the
# file whose static functions it tests. Pinned as the format is.
stage_tidy() {
	command -v clang-tidy-14 >/dev/null 2>&1 || {
		say "clang-tidy-14 is not to be had here, and other versions warn of other things"
		exit 77
	}
	[ -f $OUT/clang/compile_commands.json ] || CC=clang setup clang --werror
	ninja -C $OUT/clang >/dev/null # the generated headers
	tracked 'src/*.c' | while IFS= read -r file; do
		grep -qF "/$file\"" $OUT/clang/compile_commands.json || continue
		case $file in */test-* | */fuzz-*) less=-bugprone-suspicious-include ;; *) less= ;; esac
		printf '%s\0%s\0' "--checks=$less" "$file"
	done | xargs -0 -n 2 -P "$JOBS" clang-tidy-14 -p $OUT/clang --quiet
}

include_flags() {
	for dir in src/*/ src/cmd/*/ "$OUT"/gcc/src/*/ "$OUT"/gcc/src/cmd/*/; do
		case $dir in */cmd/ | *.p/) ;; *) printf '%s ' "-I$dir" ;; esac
	done
}

stage_headers() {
	h_files | while IFS= read -r file; do
		# shellcheck disable=SC2046 # one word each
		printf '#include "%s"\n' "$file" |
			gcc -x c -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -I. \
				-I"$(dirname "$file")" $(include_flags) - 2>&1 || printf '%s\n' "$file"
	done | none_of "headers that do not compile alone"
}

# Compiled, not linked: there are no libraries of that architecture. Headers that are the same on
# every architecture come last from the machine's own. Tools of the build run here, not there.
stage_aarch64() {
	mkdir -p $OUT/aarch64
	tracked 'src/*.c' | grep -vE '/(seccomp-gen|bin2c|test-[^/]*|fuzz-[^/]*)\.c$' |
		while IFS= read -r file; do
			# shellcheck disable=SC2046
			aarch64-linux-gnu-gcc -std=gnu17 -D_GNU_SOURCE -DCREEL_DATADIR='"/usr/share"' -O2 \
				-Wall -Wextra -Werror \
				-Wno-missing-field-initializers -Wno-format-truncation -Wno-sign-conversion \
				$(include_flags) -idirafter /usr/include -c "$file" -o $OUT/aarch64/out.o 2>&1 ||
				printf '%s\n' "$file"
		done | none_of "files that do not compile for aarch64"
}

# Old sanitizers lose their shadow memory to a kernel that randomizes more bits than they know.
without_randomizing() {
	if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)" -gt 28 ]; then
		setarch -R "$@"
	else
		"$@"
	fi
}

# Unit tests and the corpora of the fuzzers, with AddressSanitizer and UndefinedBehaviorSanitizer.
stage_unit() {
	CC=clang setup san --werror --buildtype=debug -Db_sanitize=address,undefined -Db_lundef=false \
		-Dtests=enabled
	ASAN_OPTIONS=detect_leaks=0 compile san # the build's own tools end with their memory
	meson test -C $OUT/san --list 2>/dev/null | grep -q . || {
		say "the build has no unit tests"
		return 1
	}
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		without_randomizing meson test -C $OUT/san --print-errorlogs --no-rebuild
}

# What ./check installs may not be skipped for want of it.
REQUIRED=python,numpy,node,bash,sh,r,sqlite,perl,awk,tcl,vim.tiny,vi,nano,strace,dpkg,image

# suite NAME: one pytest suite, and a verdict on what it skipped.
suite() {
	name=$1
	xml=$OUT/$name.xml
	rm -f "$xml"
	status=0
	CREEL=$OUT/gcc/src/cmd/creel/creel
	for build in "$OUT/gcc" "$OUT/ablation"; do
		[ -x "$build"/src/cmd/creel/creel ] || {
			say "no suite without $build: see its stage"
			return 1
		}
	done
	as_tester env PYTHONDONTWRITEBYTECODE=1 CREEL="$PWD/$CREEL" \
		CREEL_ABLATION="$PWD/$OUT/ablation/src/cmd/creel/creel" CREEL_TEST_REQUIRE="$REQUIRED" CI="${CI:-}" \
		/usr/bin/python3 -m pytest -p no:cacheprovider -q -rfEs --maxfail=60 --junitxml="$xml" "tests/$name" ||
		status=$?
	/usr/bin/python3 scripts/skips.py "$CREEL" "$xml" || status=1
	return $status
}

# Root runs both halves of a suite; without it the half that needs root is left out, which ./check
# counts as a failure.
as_tester() {
	if [ "${CHECK_AS_ROOT:-yes}" = yes ]; then as_root "$@"; else "$@"; fi
}

stage_integration() {
	suite integration
}

stage_escape() {
	suite escape
}

mkdir -p $OUT
"stage_$1"
