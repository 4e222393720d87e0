#!/usr/bin/env bash
# What lies where: the top level, and files that one can read in one sitting.
# layout.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
bad=0
shopt -s nullglob

complain() {
	echo "$1"
	bad=1
}

for entry in *; do
	case $entry in
	CMakeLists.txt | CMakePresets.json | README.md | LICENSE) [ -f "$entry" ] ;;
	crypto | delta | s3 | cache | fs | etc | tests) [ -d "$entry" ] ;;
	build | demo) ! git ls-files --error-unmatch "$entry" >/dev/null 2>&1 ;;
	*) false ;;
	esac || complain "$entry does not belong at the top level"
done
for entry in CMakeLists.txt README.md LICENSE crypto delta s3 cache fs etc tests; do
	[ -e "$entry" ] || complain "$entry is missing"
done

long() {
	local most=$1 file lines
	shift
	for file in "$@"; do
		lines=$(wc -l <"$file")
		[ "$lines" -le "$most" ] ||
			complain "$file has $lines lines: cut it in two ($most at most)"
	done
}
long 700 {crypto,delta,s3,cache,fs}/*.[ch] tests/*/*.sh
long 1000 tests/*/*.[ch]

for folder in crypto delta s3 cache fs; do
	for file in "$folder"/*; do
		case $file in
		*.c | *.h | *.md) [ -f "$file" ] ;;
		*) false ;;
		esac || complain "$file: $folder/ holds sources, headers and documents, flat"
	done
done
exit "$bad"
