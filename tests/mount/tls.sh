#!/usr/bin/env bash
# A server that wants to see a certificate, and one behind a proxy.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

plain=${DG_TEST_S3_ENDPOINT#http://}
certificate() {
	openssl req -new -newkey rsa:2048 -nodes -keyout "$WORK/$1.key" -subj "/CN=$1" -out "$WORK/$1.csr"
	openssl x509 -req -in "$WORK/$1.csr" -CA "$WORK/ca.pem" -CAkey "$WORK/ca.key" -CAcreateserial \
		-days 2 -extfile <(echo 'subjectAltName=IP:127.0.0.1') -out "$WORK/$1.pem"
}

{
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK/ca.key" -subj /CN=authority -days 2 -out "$WORK/ca.pem"
	certificate server
	certificate client
	openssl req -x509 -newkey rsa:2048 -nodes -keyout "$WORK/other.key" -subj /CN=other -days 2 -out "$WORK/other.pem"
} 2>"$WORK/openssl"

# relay tls|connect: prints its port.  Bytes go to the server as they come, out of
# TLS for who has a certificate of ours, or behind a CONNECT, each of which is a
# line of $WORK/connected.
cat >"$WORK/relay.py" <<'PYTHON'
import socket, ssl, sys, threading
kind, host, port, work = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
if kind == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(work + "/server.pem", work + "/server.key")
    context.load_verify_locations(work + "/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    for s in source, sink:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(client):
    try:
        to = (host, port)
        if kind == "tls":
            client = context.wrap_socket(client, server_side=True)
        else:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(1 << 16)
            verb, where, _ = head.split(b"\r\n")[0].decode().split(" ")
            with open(work + "/connected", "a") as f:
                print(verb, where, file=f)
            name, _, number = where.rpartition(":")
            to = (name, int(number))
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        server = socket.create_connection(to)
    except (OSError, ValueError):
        client.close()
        return
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(100)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
PYTHON

relay() {
	exec 6< <(exec python3 "$WORK/relay.py" "$1" "${plain%%:*}" "${plain##*:}" "$WORK" 2>/dev/null)
	MOUNTS+=("$!")
	read -r PORT <&6
}

refused() {
	local text=$1

	shift
	! "$BINARY" "$SPEC" "$MNT" -o "$1" >"$WORK/out" 2>"$WORK/err" </dev/null || fail "mounted: $1"
	equal "$(wc -l <"$WORK/err")" 1 'lines'
	holds "$(grep -cE "$text" "$WORK/err")" = 1
	cat "$WORK/err"
}

echo "== a certificate of our own"
relay tls
S=${OPTS//endpoint=$DG_TEST_S3_ENDPOINT/endpoint=https:\/\/127.0.0.1:$PORT},ca_file=$WORK/ca.pem
# What TLS has to say of it depends on who hangs up first.
refused "127.0.0.1:$PORT" "$S"
refused "127.0.0.1:$PORT" "$S,client_cert=$WORK/other.pem,client_key=$WORK/other.key"
refused 'client_cert' "$S,client_key=$WORK/client.key"
refused 'client_cert=|client_key=' "$S,client_cert=$WORK/client.pem,client_key=$WORK/absent"
refused 'certificate' "${S/ca_file=*/ca_file=$WORK/other.pem},client_cert=$WORK/client.pem,client_key=$WORK/client.key"
echo hello >"$WORK/file"
OPTS=$S mount_fs "client_cert=$WORK/client.pem,client_key=$WORK/client.key"
cp "$WORK/file" "$MNT/file"
umount_fs

echo "== behind a proxy"
relay connect
S=${OPTS//endpoint=$DG_TEST_S3_ENDPOINT/endpoint=$DG_TEST_S3_HTTPS_ENDPOINT},ca_file=$DG_TEST_S3_CA_FILE
https_proxy=http://127.0.0.1:$PORT no_proxy='' OPTS=$S mount_fs ''
same "$WORK/file" "$MNT/file"
umount_fs
holds "$(grep -c "^CONNECT ${DG_TEST_S3_HTTPS_ENDPOINT#https://}\$" "$WORK/connected")" -ge 1
: >"$WORK/connected"
https_proxy=http://127.0.0.1:$PORT no_proxy=127.0.0.1 OPTS=$S mount_fs ''
same "$WORK/file" "$MNT/file"
umount_fs
equal "$(cat "$WORK/connected")" '' 'connections through the proxy'
