#!/usr/bin/env bash
# Keys from fakes of the endpoints that give them, over the real server: EC2
# metadata, container, web identity, a role, a program; and files whose keys are
# corrected and rotated under the mount.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
[ "$STORE" = s3 ] || skip "the local store takes no keys"

access=$AWS_ACCESS_KEY_ID
secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
noise 100000 >"$WORK/data"
mkdir "$HOME/.aws"
asked=$WORK/asked
: >"$asked"

# fake SECONDS: start one whose keys last so long; $URL is where.
fake() {
	local file=$WORK/port.$1

	DG_FAKE_LASTS=$1 "$lib_dir/fakemeta" "$file" "$asked" &
	until_true "$DEADLINE" [ -s "$file" ] || fail "the fake does not start"
	URL=http://127.0.0.2:$(cat "$file")
}

# works NAME SOURCE [OPTIONS]: what is written comes back, and the log says
# where the keys are from.
works() {
	mount_fs "${3-}"
	cp "$WORK/data" "$MNT/$1"
	same "$WORK/data" "$MNT/$1"
	CHECKS=$((CHECKS + 1))
	grep -q "credentials from $2" "$LOG" || fail "$LOG does not say: from $2"
	! grep -qaF -- "$secret" "$LOG" || fail "the secret key stands in $LOG"
	umount_fs
}

fake 3600
# A proxy is for others: nothing listens there.
export AWS_EC2_METADATA_SERVICE_ENDPOINT=$URL http_proxy=http://127.0.0.1:1
no_proxy=${DG_TEST_S3_ENDPOINT#*://}
export no_proxy=${no_proxy%%[:/]*}
works metadata "EC2 metadata at $URL"
unset http_proxy no_proxy
equal "$(cat "$asked")" metadata

export AWS_EC2_METADATA_DISABLED=true
refuses 'no keys: neither AWS_ACCESS_KEY_ID.*turned off' "$BINARY" "$SPEC" "$MNT" -o "$OPTS"
unset AWS_EC2_METADATA_DISABLED
export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1
refuses 'no keys:.*hop limit' "$BINARY" "$SPEC" "$MNT" -o "$OPTS"

export AWS_CONTAINER_CREDENTIALS_FULL_URI=$URL/container
refuses 'container credentials.*403' "$BINARY" "$SPEC" "$MNT" -o "$OPTS"
echo "open sesame" >"$WORK/token"
export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$WORK/token
works container "container credentials at $URL"
unset AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI

export AWS_ENDPOINT_URL_STS=$URL AWS_ROLE_ARN=arn:aws:iam::1:role/web AWS_WEB_IDENTITY_TOKEN_FILE=$WORK/token
refuses 'STS, for role arn:aws:iam::1:role/web.*AccessDenied' "$BINARY" "$SPEC" "$MNT" -o "$OPTS"
echo "a web token" >"$WORK/token"
works web "STS, for role arn:aws:iam::1:role/web"
unset AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE

# keys FILE ACCESS SECRET: as a tool puts them there, at once.
keys() {
	printf '[base]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$2" "$3" >"$1.new"
	mv "$1.new" "$1"
}

cat >"$WORK/program" <<'EOF'
#!/bin/sh
[ "$1" = "two words" ] || { echo "what is \"$1\"?" >&2; exit 3; }
cat "$2"
EOF
chmod 700 "$WORK/program"
cat >"$HOME/.aws/config" <<EOF
[profile role]
role_arn = arn:aws:iam::1:role/assumed
source_profile = base
external_id = some one
[profile process]
credential_process = $WORK/program "two words" $WORK/answer
[profile wrong]
credential_process = $WORK/program one
[profile hangs]
credential_process = sleep 100
[profile sso]
sso_session = s
EOF
keys "$HOME/.aws/credentials" "$access" "$secret"
works role "STS, for role arn:aws:iam::1:role/assumed" profile=role
equal "$(tail -n 1 "$asked")" "AssumeRole arn:aws:iam::1:role/assumed"
printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "%s"}\n' "$access" "$secret" >"$WORK/answer"
works process "credential_process of profile process" profile=process
refuses 'exit status 3: what is .one.\?' "$BINARY" "$SPEC" "$MNT" -o "$OPTS,profile=wrong"
refuses 'aws configure export-credentials' "$BINARY" "$SPEC" "$MNT" -o "$OPTS,profile=sso"
start=$SECONDS
refuses 'no keys within 8 s' "$BINARY" "$SPEC" "$MNT" -o "$OPTS,profile=hangs"
holds $((SECONDS - start)) -le 20

# Keys that last for less than five minutes are replaced while it goes on.
fake 200
export AWS_ENDPOINT_URL_STS=$URL
: >"$asked"
mount_fs profile=role
holds "$(wc -l <"$asked")" = 1
asked_again() {
	ls "$MNT" >/dev/null
	[ "$(wc -l <"$asked")" -ge 2 ]
}
until_true "$DEADLINE" asked_again || fail "the keys were not replaced"
umount_fs

refused_write() {
	! cp "$WORK/data" "$MNT/not" 2>/dev/null
}

# A file whose keys turn wrong and are corrected, and one whose keys are rotated
# by another program: the mount stays.
# shellcheck disable=SC2034
EXPECT_ERRORS=1
mount_fs profile=base
cp "$WORK/data" "$MNT/rotated"
keys "$HOME/.aws/credentials" "$access" wrong
until_true "$DEADLINE" refused_write || fail "wrong keys are not taken over"
refused_write || fail "written with wrong keys"
keys "$HOME/.aws/credentials" "$access" "$secret"
cp "$WORK/data" "$MNT/corrected"
same "$WORK/data" "$MNT/corrected"
# Gone, or half there, for a moment: the old ones stand.
mv "$HOME/.aws/credentials" "$HOME/.aws/away"
until=$((SECONDS + 3))
while [ "$SECONDS" -lt "$until" ]; do
	cp "$WORK/data" "$MNT/without"
done
printf '[base]\naws_access_key_id = %s\n' "$access" >"$HOME/.aws/credentials"
until=$((SECONDS + 3))
while [ "$SECONDS" -lt "$until" ]; do
	cp "$WORK/data" "$MNT/half"
done
mv "$HOME/.aws/away" "$HOME/.aws/credentials"
same "$WORK/data" "$MNT/half"
umount_fs
mount_fs profile=base
equal "$(cd "$MNT" && echo [chmprw]*)" "container corrected half metadata process role rotated web without"
umount_fs

# The keys of a program that it replaced, without a word about their end.
printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "wrong"}\n' "$access" >"$WORK/answer"
refuses 'SignatureDoesNotMatch|403' "$BINARY" "$SPEC" "$MNT" -o "$OPTS,profile=process"
