#!/usr/bin/env bash
# The ways to reach a bucket: http and https, bucket in the path and in the host
# name, keys from -o, environment, profile and config file.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
[ "$STORE" = s3 ] || skip "the local store is not reached over a network"
[ -n "${DG_TEST_S3_HTTPS_ENDPOINT-}" ] || skip "no TLS endpoint: use tests/run"

access=$AWS_ACCESS_KEY_ID
secret=$AWS_SECRET_ACCESS_KEY
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
keys=access_key_id=$access,secret_access_key=$secret
noise 300000 >"$WORK/data"

# works NAME OPTIONS: what is written through this mount comes back.
works() {
	OPTS=cache_dir=$CACHE${2:+,$2}
	mount_fs
	cp "$WORK/data" "$MNT/$1"
	same "$WORK/data" "$MNT/$1"
	equal "$(stat -c %s "$MNT/$1")" 300000
	umount_fs
}

works plain "endpoint=$DG_TEST_S3_ENDPOINT,$keys"
works tls "endpoint=$DG_TEST_S3_HTTPS_ENDPOINT,ca_file=$DG_TEST_S3_CA_FILE,$keys"
works host "endpoint=$DG_TEST_S3_NAME_ENDPOINT,path_style=off,$keys"
works path "endpoint=$DG_TEST_S3_NAME_ENDPOINT,path_style=on,$keys"

# The same four names through the last one.
OPTS=cache_dir=$CACHE,endpoint=$DG_TEST_S3_ENDPOINT,$keys
mount_fs
equal "$(cd "$MNT" && echo *)" "host path plain tls"
umount_fs

export AWS_ACCESS_KEY_ID=$access AWS_SECRET_ACCESS_KEY=$secret AWS_ENDPOINT_URL=$DG_TEST_S3_ENDPOINT
works environment ""
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL

mkdir "$HOME/.aws"
printf '[default]\naws_access_key_id = nobody\naws_secret_access_key = nothing\n\n[ci]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
	"$access" "$secret" >"$HOME/.aws/credentials"
works profile "endpoint=$DG_TEST_S3_ENDPOINT,profile=ci"
export AWS_PROFILE=ci AWS_CA_BUNDLE=$DG_TEST_S3_CA_FILE
works environment_profile "endpoint=$DG_TEST_S3_HTTPS_ENDPOINT"
unset AWS_PROFILE AWS_CA_BUNDLE
printf '[profile ci]\nregion = us-east-1\nendpoint_url = %s\n' "$DG_TEST_S3_ENDPOINT" >"$HOME/.aws/config"
works profile_endpoint "profile=ci"
export AWS_PROFILE=ci
OPTS=cache_dir=$CACHE
mount_fs
holds "$(grep -c "^profile = ci  # environment" "$MNT/.dg/config")" = 1
holds "$(grep -cF "endpoint = $DG_TEST_S3_ENDPOINT  # profile" "$MNT/.dg/config")" = 1
umount_fs
# As mount(8) and systemd call it: without HOME, it is the user's own.
refuses "in $(getent passwd "$(id -u)" | cut -d: -f6)/.aws/" env -u HOME -u AWS_PROFILE \
	"$BINARY" "$SPEC" "$MNT" -o "cache_dir=$CACHE,profile=no-such-profile"
unset AWS_PROFILE

bucket=${SPEC#s3://}
printf '[default]\nendpoint = http://127.0.0.1:1\n\n[%s]\nendpoint = %s\naccess_key_id = %s\nsecret_access_key = %s\n' \
	"${bucket%%/*}" "$DG_TEST_S3_ENDPOINT" "$access" "$secret" >"$WORK/mount.conf"
chmod 600 "$WORK/mount.conf"
works config "config=$WORK/mount.conf"

# No key in sight of anybody: not in ps, not in .dg/config, not in the log.
# shellcheck disable=SC2034
OPTS=cache_dir=$CACHE,log_level=debug,endpoint=$DG_TEST_S3_ENDPOINT,$keys
mount_fs
holds ! -z "$(tr '\0' ' ' <"/proc/$DPID/cmdline")"
for place in "/proc/$DPID/cmdline" "$MNT/.dg/config" "$LOG"; do
	! grep -qaF -- "$secret" "$place" || fail "the secret key stands in $place"
done
grep -q '^secret_access_key = set' "$MNT/.dg/config"
umount_fs

# A certificate that nobody vouches for is not accepted, and said so.
refuses 'certificate.*ca_file' "$BINARY" "$SPEC" "$MNT" -o "cache_dir=$CACHE,endpoint=$DG_TEST_S3_HTTPS_ENDPOINT,$keys"
! is_mounted || fail "mounted all the same"
