#!/usr/bin/env bash
# Every option of the table in fs/option_table.c is in --help and in the man page,
# and so are its variables; what the man page calls an option exists.
# docs.sh ROOT BINARY
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: docs.sh ROOT BINARY" >&2; exit 2; }
binary=$(realpath "$2")
cd "$1"
page=etc/mount.deltaglider.8
bad=0

complain() {
	echo "$1"
	bad=1
}

mapfile -t options < <(grep -oE '\.name = "[a-z0-9_]+"' fs/option_table.c | cut -d'"' -f2)
mapfile -t variables < <(grep -oE '"(DG|AWS)_[A-Z0-9_]+"' fs/option_table.c | tr -d '"' | sort -u)
[ ${#options[@]} -ge 20 ] || complain "fs/option_table.c: only ${#options[@]} options found: is the table still as this check reads it?"
help=$("$binary" --help) || complain "$2 --help: exit status $?"

! grep -n 'OPTION_' <<<"$help" || complain "--help speaks C"
for o in "${options[@]}"; do
	grep -qE "^  $o([= ]|$)" <<<"$help" || complain "--help does not list $o"
	grep -qE "^\.It Cm $o( |$)" "$page" || complain "$page does not document $o"
	grep -qE "\"$o\"|\b$o\b" etc/mount.conf.example || [[ $o == config || $o == foreground ]] ||
		complain "etc/mount.conf.example does not show $o"
done
for v in "${variables[@]}"; do
	grep -qE "^\.It Ev $v( |$)" "$page" || complain "$page does not document \$$v"
done
while read -r o; do
	[[ " ${options[*]} " == *" $o "* ]] || complain "$page documents $o, which fs/option_table.c does not know"
done < <(sed -n '/^\.Sh OPTIONS/,/^\.Sh /s/^\.It Cm \([a-z0-9_]*\).*/\1/p' "$page")

# Control files and attributes, by the tables that make them.
while read -r name; do
	grep -qE "^\.It Pa \.dg/$name( |$)" "$page" || complain "$page does not document .dg/$name"
done < <(sed -n 's/^\t{ "\([a-z_]*\)", 0[0-7]*,.*/\1/p' fs/control.c)
while read -r name; do
	grep -qE "^\.It Li user\.deltaglider\.$name( |$)" "$page" || complain "$page does not document user.deltaglider.$name"
done < <(sed -n '/names\[\] = {/,/};/p' fs/xattr.c | grep -oE '"[a-z0-9_]+"' | tr -d '"')

if command -v groff >/dev/null; then
	warnings=$(groff -mandoc -Tutf8 -ww -z "$page" 2>&1) || :
	[ -z "$warnings" ] || complain "$warnings"
fi
exit "$bad"
