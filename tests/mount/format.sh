#!/usr/bin/env bash
# What the mount writes is what delta/FORMAT.md says: a decoder written from
# that document alone gets every file back out of the bucket.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

undelta=$lib_dir/undelta.py
samples typescript 5.4.2 5.4.3 5.5.2
samples @esbuild/linux-x64 0.20.1 0.20.2

mount_fs
mkdir "$MNT/ts" "$MNT/text"
for v in 5.4.2 5.4.3 5.5.2; do
	cp "$SAMPLES/typescript-$v.tar" "$MNT/ts/"
done
# Insertions, deletions, single bytes, moved parts; and what zstd takes whole.
seq 1 40000 >"$WORK/base"
noise 200000 >>"$WORK/base"
cp "$WORK/base" "$MNT/text/base"
sed -e '5000,5010d' -e 's/^777$/seven/' "$WORK/base" >"$WORK/v1"
{ tail -c 100000 "$WORK/base"; head -c 300000 "$WORK/base"; } >"$WORK/v2"
{ cat "$WORK/base"; seq 1 2 60000; } >"$WORK/v3"
for v in v1 v2 v3; do
	cp "$WORK/$v" "$MNT/text/$v"
done

# Each way of writing them: branches of machine code, other levels.
mkdir "$MNT/code"
for v in 0.20.1 0.20.2; do
	cp "$SAMPLES/esbuild-linux-x64-$v.tar" "$MNT/code/"
done
for level in fast best; do
	umount_fs
	mount_fs "delta_level=$level"
	mkdir "$MNT/$level"
	for v in 5.4.2 5.5.2; do
		cp "$SAMPLES/typescript-$v.tar" "$MNT/$level/"
	done
done
less() { holds "$(attribute "$MNT/$1" stored_size)" -lt "$(attribute "$MNT/$2" stored_size)"; }
less best/typescript-5.5.2.tar ts/typescript-5.5.2.tar
less ts/typescript-5.5.2.tar fast/typescript-5.5.2.tar

deltas=0
while read -r path; do
	[ "$(attribute "$MNT/$path" storage)" = delta ] || continue
	ref=$(attribute "$MNT/$path" reference)
	[ "$STORE" = local ] || ref=${ref#"$PREFIX"}
	bucket_get "$path" >"$WORK/object"
	bucket_get "$ref" >"$WORK/reference"
	holds "$(sha256 "$WORK/reference")" = "$(basename "$(dirname "$ref")")"
	"$undelta" "$WORK/reference" "$WORK/object" "$WORK/target" ||
		fail "$path: the document's decoder refuses it"
	same "$WORK/target" "$MNT/$path"
	deltas=$((deltas + 1))
done < <(cd "$MNT" && find . -type f -printf '%P\n' | sort)
# Each series in full, its first file among them.
equal "$deltas" 13 "deltas in the bucket"
umount_fs
