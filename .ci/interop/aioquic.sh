#!/usr/bin/env bash
# aioquic's HTTP/3 client against h3server, and h3client against aioquic's server.
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")
python=$CI_WORK/venv/bin/python

for flags in "" "-retry"; do
	start_server $flags
	timeout 180 "$python" "$here/aioquic_client.py" "$server_port" $flags || die "aioquic's client with h3server $flags"
	stop_server
done

# Both sides want a certificate from a file: crypto/tls brings a program that makes one.
(cd "$tmp" && go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host localhost,127.0.0.1 --ecdsa-curve P256) 2>"$tmp/cert.log" ||
	die "$(cat "$tmp/cert.log")"
pattern 10000000 >"$tmp/want"
pattern 5000000 >"$tmp/upload"
# patterns writes pattern for each line.
patterns() {
	python3 -c 'import sys; sys.stdout.buffer.writelines((bytes(range(256)) * (int(n) // 256 + 1))[:int(n)] for n in sys.stdin)'
}
client() {
	timeout 60 "$CI_WORK/bin/h3client" -ca "$tmp/cert.pem" "$@" || die "h3client $* with aioquic's server $flags"
}
for flags in "" "--retry"; do
	: >"$tmp/aioquic.log"
	"$python" "$here/aioquic_server.py" --cert "$tmp/cert.pem" --key "$tmp/key.pem" $flags >"$tmp/aioquic.log" 2>&1 &
	server_pid=$!
	for i in $(seq 100); do
		port=$(cat "$tmp/aioquic.log")
		[ -z "$port" ] || break
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	[[ $port =~ ^[0-9]+$ ]] || die "aioquic's server: $port"
	client -o "$tmp/got" "https://localhost:$port/bytes/10000000"
	same "$tmp/want" "$tmp/got"
	client -d "@$tmp/upload" -o "$tmp/got" "https://localhost:$port/echo"
	same "$tmp/upload" "$tmp/got"
	[ "$(client -X PUT -d hello -H 'x-name: value' "https://localhost:$port/tell")" = "PUT hello value" ] ||
		die "h3client: method, header or body"
	many=$(seq -f "https://localhost:$port/bytes/%.0f" 0 100)
	client $many >"$tmp/got"
	seq 0 100 | patterns >"$tmp/wants"
	same "$tmp/wants" "$tmp/got"
	echo "h3client with aioquic's server $flags: GET of 10 MB, POST of 5 MB, PUT, 101 requests on one connection"
	stop_foreign() { kill "$server_pid"; wait "$server_pid" || true; server_pid=; }
	stop_foreign
done
