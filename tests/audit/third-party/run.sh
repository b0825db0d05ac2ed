#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks a log with other people's programs: `fsck` of Tessera reads an export, and the libraries of
# the transparency-dev project check a proof. Needs Go and its module proxy, and so is run by hand:
#
#   tests/audit/third-party/run.sh CREEL STATE [ORG [SEQ]]
set -eu
creel=$1 state=$2 org=${3:-local} seq=${4:-0}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
GOPATH=$work/go GOBIN=$work/bin GOFLAGS=-buildvcs=false
export GOPATH GOBIN GOFLAGS

"$creel" audit key --state "$state" --org "$org" >"$work/key"
"$creel" audit export --state "$state" --org "$org" "$work/log"
"$creel" audit prove --state "$state" --org "$org" -o "$work/proof" "$seq"

go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4
"$work/bin/fsck" --ui=false --public_key="$work/key" --storage_url="file://$work/log/" </dev/null

mkdir "$work/check"
cp "$here/proof-check.go" "$work/check/main.go"
cd "$work/check"
go mod init proof-check
go get github.com/transparency-dev/formats@v0.1.1 github.com/transparency-dev/merkle@v0.0.2 \
	golang.org/x/mod@v0.42.0
go run . "$work/key" "$work/proof"
