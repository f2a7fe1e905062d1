#!/usr/bin/env bash
# Netty, whose QUIC is Cloudflare's quiche, with h3server and h3client.
source "$(dirname "$0")/server.sh"
classes=$CI_WORK/netty
certificate

# netty ARGS... runs the program.
netty() {
	java -cp "$classes:$(cat "$classes/path")" Netty "$@"
}

# client CASE SERVER-FLAGS... drives Netty against h3server.
client() {
	start_server -cert "$CI_WORK/cert.pem" -key "$CI_WORK/key.pem" "${@:2}"
	netty client "$server_port" "$CI_WORK/cert.pem" "$1" || die "Netty"
	stop_server
}

# with_netty CASE SERVER-FLAGS... runs a case with h3client and a server of Netty.
with_netty() {
	server_port=$(free_port)
	# not by netty, as server_pid must be that of java; with IPv4 sockets, which wait_for_port sees
	java -Djava.net.preferIPv4Stack=true -cp "$classes:$(cat "$classes/path")" Netty server "$server_port" "$CI_WORK/cert.pem" "$CI_WORK/key.pem" "${@:2}" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	wait_for_port "$server_port"
	"$1"
	kill "$server_pid"
	wait "$server_pid" || true
	server_pid=
}

h3client() {
	timeout 180 "$CI_WORK/bin/h3client" -ca "$CI_WORK/cert.pem" -o "$tmp/got" "$@" || die "h3client"
}

transfers() {
	h3client "https://localhost:$server_port/bytes/10000000"
	pattern 10000000 >"$tmp/want"
	same "$tmp/want" "$tmp/got"
	pattern 5000000 >"$tmp/want"
	h3client -d "@$tmp/want" "https://localhost:$server_port/echo"
	same "$tmp/want" "$tmp/got"
	echo "GET of 10 MB, POST of 5 MB"
}

again() {
	local i
	for i in 1 2 3; do
		h3client -session-file "$tmp/sessions" "https://localhost:$server_port/bytes/1000"
		pattern 1000 >"$tmp/want"
		same "$tmp/want" "$tmp/got"
	done
	echo "3 connections"
}

check "client: GET of 10 MB, POST of 5 MB" client transfers
check "client: the same after a Retry" client transfers -retry
check "client: many requests" client together
check "client: one connection after another" client again
check "server: GET of 10 MB, POST of 5 MB" with_netty transfers
check "server: the same after a Retry" with_netty transfers retry
check "server: one connection after another" with_netty again
report
