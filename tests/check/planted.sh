#!/usr/bin/env bash
# A check that cannot fail says nothing: plant each kind of violation in a copy
# of the tree and see that it is found.  planted.sh ROOT BINARY
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: planted.sh ROOT BINARY" >&2; exit 2; }
root=$(realpath "$1")
binary=$(realpath "$2")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
bad=0

# planted CHECK FILE TEXT...: with the text at the end of the file it fails.
planted() {
	local check=$1 file=$2
	shift 2
	rm -rf "$copy/tree"
	mkdir "$copy/tree"
	(cd "$root" && cp -R CMakeLists.txt CMakePresets.json README.md LICENSE \
		crypto delta s3 cache fs etc tests "$copy/tree")
	mkdir -p "$(dirname "$copy/tree/$file")"
	case $1 in
	s/*) sed -i "$1" "$copy/tree/$file" ;;
	*) printf '%s\n' "$@" >>"$copy/tree/$file" ;;
	esac
	if bash "$root/tests/check/$check.sh" "$copy/tree" \
		"$binary" >"$copy/out" 2>&1; then
		echo "$check does not see: $* in $file"
		bad=1
	fi
}

clean() {
	planted "$1" README.md '' >"$copy/clean"
	[ -s "$copy/clean" ] || {
		echo "$1 fails on the tree as it is, so nothing can be planted:"
		cat "$copy/out"
		exit 1
	}
	bad=0
}

for check in includes layout banned docs; do
	clean "$check"
done

planted includes crypto/bytes.c '#include "fs/inode.h"'
planted includes crypto/bytes.c '# include "delta/index.h"'
planted includes delta/index.c '#include "s3/store.h"'
planted includes delta/index.h '#include "cache/refs.h"'
planted includes cache/refs.c '#include "s3/store.h"'
planted includes cache/refs.c '#include "fs/log.h"'
planted includes s3/write.c '#include "cache/budget.h"'
planted includes s3/write.c '#include "delta/window.h"'
planted includes fs/log.c '#include "tests/support/memstore.h"'
planted includes fs/log.c '#include "log.h"'
planted includes s3/write.c '#include <curl/curl.h>'
planted includes fs/log.c '#include <curl/curl.h>'
planted includes s3/write.c '#include <expat.h>'
planted includes s3/imds.c '#include <jansson.h>'
planted includes s3/sigv4.c '#include <openssl/evp.h>'
planted includes cache/refs.c '#include <zstd.h>'
planted includes cache/refs.c '#include <xxhash.h>'
planted includes s3/write.c '#include <bzlib.h>'
planted includes fs/options.c '#include <ini.h>'
planted includes fs/volume.c '#include <fuse_lowlevel.h>'
planted includes s3/write.c '#include <fuse3/fuse.h>'

planted layout util.c ''
planted layout common/bytes.c ''
planted layout fs/sub/x.c ''
planted layout fs/notes.txt ''
mapfile -t many < <(seq 701)
planted layout fs/log.c "${many[@]}"

planted banned fs/log.c "/* TO""DO: later */"
planted banned etc/quickstart "# FIX""ME"
for call in strcpy strcat sprintf atoi alloca system popen; do
	planted banned fs/log.c "	$call(a);"
	planted banned tests/support/memstore.c "	n = $call (a);"
done

# shellcheck disable=SC2016
{
	planted docs fs/option_table.c '	{ .name = "planted_option",'
	planted docs fs/option_table.c '	.env = { "DG_PLANTED" },'
	planted docs fs/control.c '	{ "planted", 0444, show_stats, NULL },'
	planted docs etc/mount.deltaglider.8 's/^\.It Cm max_ratio.*//'
	planted docs etc/mount.deltaglider.8 's/^\.It Cm max_ratio/.It Cm mox_ratio/'
	planted docs etc/mount.deltaglider.8 's/^\.It Li user\.deltaglider\.ratio.*//'
}
exit "$bad"
