#!/usr/bin/env bash
# clang-tidy and cppcheck have nothing to say about the layers.
# lint.sh ROOT BINARY  (the folder of BINARY holds compile_commands.json)
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: lint.sh ROOT BINARY" >&2; exit 2; }
build=$(dirname "$(realpath "$2")")
cd "$1"
bad=0

# ctuuninitvar: an out-parameter that a called function fills.
cppcheck --enable=warning,performance,portability --inline-suppr --quiet \
	--suppress=ctuuninitvar --error-exitcode=1 --std=c11 -j "$(nproc)" -I. \
	-D_GNU_SOURCE -DDG_VERSION='"0"' crypto delta cache s3 fs || bad=1
find crypto delta cache s3 fs -name '*.c' -print0 |
	xargs -0 -P "$(nproc)" -n 6 clang-tidy --quiet -p "$build" 2>/dev/null || bad=1
exit "$bad"
