#!/usr/bin/env bash
# The include rule: what a layer may see of the others, and which file may see
# which library.  includes.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
bad=0

complain() {
	echo "$1"
	bad=1
}

# layer LAYER MAY...: its files include nothing of ours but these.
layer() {
	local layer=$1 may file line to
	shift
	may=" $layer $* "
	while IFS=: read -r file line to; do
		to=${to#*\"}
		to=${to%\"*}
		case $to in
		*/*) [[ $may == *" ${to%%/*} "* ]] ||
			complain "$file:$line: $layer/ includes $to; it may see:$may" ;;
		*) complain "$file:$line: \"$to\": name the folder too" ;;
		esac
	done < <(grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$layer"/*.[ch])
}

# library HEADER MOST PATTERN...: only files that match, at most so many.
library() {
	local header=$1 most=$2 count=0 file pattern fits
	shift 2
	while read -r file; do
		fits=
		for pattern in "$@"; do
			# shellcheck disable=SC2053
			[[ $file == $pattern ]] && fits=1
		done
		[ -n "$fits" ] || complain "$file: includes <$header>; only $* may"
		count=$((count + 1))
	done < <(grep -lE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$header" \
		crypto/*.[ch] delta/*.[ch] cache/*.[ch] s3/*.[ch] fs/*.[ch])
	[ "$count" -le "$most" ] ||
		complain "<$header> is included by $count files of $*; at most $most may"
}

layer crypto
layer delta crypto
layer cache crypto delta
layer s3 crypto
layer fs crypto delta cache s3

library 'curl/' 1 's3/*.c'
library 'expat' 1 's3/*.c'
library 'openssl/' 99 'crypto/*.c'
library 'zstd' 99 'delta/*.c'
library 'xxhash' 99 'delta/*.c'
library 'bzlib' 99 'delta/*.c'
library 'divsufsort' 99 'delta/*.c'
library 'jansson' 1 's3/*.c'
library 'ini\.h' 2 fs/config.c s3/profile.c
# What the parts of ops share, and the mount itself.
library 'fuse' 2 fs/ops_private.h fs/mount.c

exit "$bad"
