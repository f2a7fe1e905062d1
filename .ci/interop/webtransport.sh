#!/usr/bin/env bash
# WebTransport: examples/webtransport with aioquic, both ways, and with headless Chromium.
#
#   webtransport.sh aioquic|chromium
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")

# start_echo sets server_pid, page_url and echo_url.
start_echo() {
	: >"$tmp/server.log"
	"$CI_WORK/bin/webtransport" -addr 127.0.0.1:0 -page 127.0.0.1:0 -cert "$tmp/cert.pem" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	local i
	for i in $(seq 600); do
		page_url=$(sed -n 's|^open \(http://[^ ]*/\) .*|\1|p' "$tmp/server.log")
		echo_url=$(sed -n 's|.* -connect \(https://.*\)|\1|p' "$tmp/server.log")
		[ -z "$page_url" ] || [ -z "$echo_url" ] || return 0
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	die "the server does not start"
}

# told TEXT waits until the server has printed a line with TEXT.
told() {
	local i
	for i in $(seq 600); do
		! grep -qF "$1" "$tmp/server.log" || return 0
		sleep 0.1
	done
	die "the server does not print: $1"
}

aioquic() {
	local python=$CI_WORK/venv/bin/python port=${echo_url%/echo}
	timeout 180 "$python" "$here/webtransport_client.py" "${port##*:}" || die "aioquic's WebTransport client"
	told "closed by peer with code 42: bye"
	stop_server

	(cd "$tmp" && go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host localhost,127.0.0.1 --ecdsa-curve P256) 2>"$tmp/cert.log" ||
		die "$(cat "$tmp/cert.log")"
	: >"$tmp/server.log"
	"$python" "$here/webtransport_server.py" --cert "$tmp/cert.pem" --key "$tmp/key.pem" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	local i
	for i in $(seq 600); do
		port=$(head -1 "$tmp/server.log")
		[ -z "$port" ] || break
		sleep 0.1
	done
	[[ $port =~ ^[0-9]+$ ]] || die "aioquic's WebTransport server: $port"
	timeout 240 "$CI_WORK/bin/webtransport" -ca "$tmp/cert.pem" -connect "https://localhost:$port/echo" -n 200 >"$tmp/table" ||
		die "our client with aioquic's WebTransport server"
	cat "$tmp/table"
	[ "$(grep -c "streams  200 of 200" "$tmp/table")" = 2 ] && grep -Eq "datagrams  (19|20)[0-9] of 200" "$tmp/table" || die "something was lost"
	told "capsules 684308""00000000$(printf done | od -An -tx1 | tr -d ' ')"
	kill "$server_pid"
	wait "$server_pid" || true
	server_pid=
}

chromium_page() {
	timeout 240 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--disable-background-networking --no-first-run --user-data-dir="$(mktemp -d "$tmp/profile.XXXXXX")" \
		"$@" 2>"$tmp/chromium.log" || {
		tail -20 "$tmp/chromium.log" >&2
		die "chromium $*"
	}
}

chromium_session() {
	local want points
	chromium_page --dump-dom "${page_url}?seconds=4" >"$tmp/dom"
	for want in "closed with code 7: enough" ">bidirectional stream: 1,048,576 bytes came back" \
		">unidirectional streams, both ways: 20 bytes came back" 'id="burst" class="ok"' \
		">error codes of streams: 30 came back"; do
		grep -qF "$want" "$tmp/dom" || {
			sed '/<script>/,$d' "$tmp/dom" >&2
			die "chromium: want $want"
		}
		echo "$want"
	done
	told "closed by peer with code 7: enough"
	points=$(sed -n 's|.*data-points="\([0-9]*\)".*|\1|p' "$tmp/dom")
	[ "${points:-0}" -ge 20 ] || die "chromium: the plot has ${points:-no} points"
	chromium_page --window-size=900,760 --screenshot="$tmp/page.png" "${page_url}?seconds=1" >/dev/null
	[ "$(head -c 4 "$tmp/page.png" | tail -c 3)" = PNG ] && [ "$(stat -c %s "$tmp/page.png")" -gt 20000 ] ||
		die "chromium: the screenshot is empty"
	echo "a plot of $points round trips; a screenshot of $(stat -c %s "$tmp/page.png") bytes"
	stop_server
}

start_echo
case $1 in
aioquic) aioquic ;;
chromium) chromium_session ;;
*) die "what is $1?" ;;
esac
