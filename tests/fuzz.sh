#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds every src/*/fuzz-x.c with libFuzzer, ASan and UBSan and runs each for SECONDS on its corpus.
# New inputs stay in the build directory; what broke is left there as crash-*.
#
# usage: tests/fuzz.sh SECONDS [NAME...]		FUZZ_BUILD: the build directory (build-fuzz)
set -eu
cd "$(dirname "$0")/.."
seconds=${1:?usage: tests/fuzz.sh SECONDS [NAME...]}
shift
build=${FUZZ_BUILD:-build-fuzz}
sanitize='-g -O1 -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined'
# Programs that run while building keep what they allocate; so do the options of one run.
export ASAN_OPTIONS=detect_leaks=0

if [ ! -f "$build/build.ninja" ]; then
	CC=${CLANG:-clang} meson setup "$build" . -Dbuildtype=debugoptimized -Db_lundef=false \
		-Db_sanitize=address,undefined \
		'-Dc_args=-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined' >/dev/null
fi
ninja -C "$build" >/dev/null

includes=
for dir in src/*/ src/cmd/*/; do
	includes="$includes -I$dir -I$build/$dir"
done
libraries=$(find "$build/src" -name 'lib*.a')
failed=
for source in $(find src -name 'fuzz-*.c' ! -path 'src/testing/*' | sort); do
	name=$(basename "$source" .c)
	name=${name#fuzz-}
	case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
	printf '== %s: ' "$name"
	mkdir -p "$build/corpus-$name"
	# shellcheck disable=SC2086 # lists of words
	${CLANG:-clang} -std=gnu17 -D_GNU_SOURCE -DCREEL_DATADIR='"/usr/share"' $sanitize $includes "$source" \
		src/testing/json-check.c -Wl,--start-group $libraries -Wl,--end-group \
		-lyaml -lsodium -ljansson -lz -o "$build/fuzz-$name"
	if "$build/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
		-max_len=8192 -detect_leaks=0 -artifact_prefix="$build/crash-$name-" \
		"$build/corpus-$name" "$(dirname "$source")/corpus-$name" >"$build/fuzz-$name.log" 2>&1; then
		tail -n 1 "$build/fuzz-$name.log"
	else
		failed="$failed $name"
		grep -E 'does not hold|ERROR|SUMMARY|runtime error' "$build/fuzz-$name.log" || true
	fi
done
if [ -n "$failed" ]; then
	printf 'broken:%s; see %s/fuzz-*.log and %s/crash-*\n' "$failed" "$build" "$build"
	exit 1
fi
