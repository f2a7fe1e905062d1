#!/usr/bin/env bash
# aioquic's HTTP/3 client with h3server, and h3client with aioquic's server.
#
# aioquic cannot mark packets with ECN or recognise a stateless reset. As a server it sends no
# NEW_TOKEN and prefers no other address.
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")
python=$CI_WORK/venv/bin/python

# client CASE PATTERN SERVER-FLAGS... drives aioquic, and expects h3server to print PATTERN at the
# end.
client() {
	start_server -v "${@:3}"
	timeout 180 "$python" "$here/aioquic_client.py" "$server_port" "$1" || die "aioquic's client"
	server_says "$2"
	stop_server
}

check "client: GET of 10 MB, POST of 5 MB" client transfers 'version 0x1,'
check "client: 100 requests at once" client concurrent 'version 0x1,'
check "client: an endless answer, and 8 at once" client sharing 'version 0x1,'
check "client: the same, and 2 % of packets lost" client sharing-with-losses 'version 0x1,'
for suite in aes128 aes256 chacha20; do
	check "client: $suite" client $suite 'version 0x1,'
done
check "client: 2 % of packets lost, both ways" client losses '[1-9][0-9]* lost'
check "client: Retry" client retry 'version 0x1,' -retry
check "client: NEW_TOKEN spares a Retry" client new-token 'version 0x1,' -retry
check "client: resumption" client resumption 'resumed: true, early data: false'
check "client: 0-RTT, and its replay" client early-data 'resumed: true, early data: true' -0rtt -loops 1
check "client: key updates by the client" client key-updates-by-client ' 4 key updates'
check "client: key updates by the server" client key-updates-by-server ' ([2-9]|[1-9][0-9]+) key updates' -key-update 20ms
check "client: rebinding" client rebinding ' 1 path changes'
check "client: migration" client migration ' 3 path changes'
check "client: preferred address" client preferred-address ' 1 path changes' -preferred-address 127.0.0.1:0
check "client: version 2" client version-2 'version 0x6b3343cf,'
check "client: version 2, which the server prefers" client compatible-2 'version 0x6b3343cf,' -versions 2,1
check "client: Version Negotiation, from 2 to 1" client negotiated-1 'version 0x1,' -versions 1
check "client: Version Negotiation, from 1 to 2" client negotiated-2 'version 0x6b3343cf,' -versions 2
check "client: 0-RTT in version 2, and not in 1" client early-data-in-version-2 'version 0x6b3343cf, resumed: true, early data: true' -0rtt

# start_aioquic FLAGS...
start_aioquic() {
	certificate
	: >"$tmp/aioquic.log"
	"$python" "$here/aioquic_server.py" --cert "$CI_WORK/cert.pem" --key "$CI_WORK/key.pem" "$@" >"$tmp/aioquic.log" 2>&1 &
	server_pid=$!
	local i
	for i in $(seq 600); do
		server_port=$(head -1 "$tmp/aioquic.log")
		[ -z "$server_port" ] || break
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	[[ $server_port =~ ^[0-9]+$ ]] || die "aioquic's server: $(cat "$tmp/aioquic.log")"
}

# stop_aioquic PATTERN waits until aioquic has printed PATTERN, prints that line and stops aioquic.
# If the client's last packet is lost, that takes until the idle timeout of 30 s.
stop_aioquic() {
	local i
	for i in $(seq 600); do
		! grep -qE "ended: .*$1" "$tmp/aioquic.log" || break
		sleep 0.1
	done
	kill "$server_pid"
	wait "$server_pid" || true
	server_pid=
	grep -E "ended: .*$1" "$tmp/aioquic.log" | tail -1 | grep . || die "aioquic's server tells: $(cat "$tmp/aioquic.log")"
}

# fetch FLAGS... downloads 5 MB with h3client, and keeps its output.
fetch() {
	timeout 180 "$CI_WORK/bin/h3client" -ca "$CI_WORK/cert.pem" -v -qlog "$tmp/logs" -o "$tmp/got" "$@" \
		"https://localhost:$server_port/bytes/${bytes:-5000000}" 2>"$tmp/client.log" || {
		tail -20 "$tmp/client.log" >&2
		die "h3client"
	}
	pattern "${bytes:-5000000}" >"$tmp/want"
	same "$tmp/want" "$tmp/got"
}

told() {
	grep -qE "$1" "$tmp/client.log" || die "h3client does not say: $1"
}

# with_aioquic PATTERN-OF-H3CLIENT FACTS-IN-THE-LOGS PATTERN-OF-AIOQUIC SERVER-FLAGS... --
# CLIENT-FLAGS...
with_aioquic() {
	local words=$1 facts ended=$3 flags=()
	IFS=, read -ra facts <<<"$2"
	shift 3
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	start_aioquic "${flags[@]}"
	fetch "$@"
	told "$words"
	logs_show "${facts[@]}"
	stop_aioquic "$ended"
}

requests() {
	start_aioquic
	pattern 5000000 >"$tmp/upload"
	local client=("$CI_WORK/bin/h3client" -ca "$CI_WORK/cert.pem") url=https://localhost:$server_port
	timeout 180 "${client[@]}" -d "@$tmp/upload" -o "$tmp/got" "$url/echo"
	same "$tmp/upload" "$tmp/got"
	[ "$(timeout 180 "${client[@]}" -X PUT -d hello -H 'x-name: value' "$url/tell")" = "PUT hello value" ] ||
		die "h3client: method, header or body"
	stop_aioquic ''
}

# two_processes runs h3client twice, the second time with the sessions of the first.
two_processes() { # PATTERN-OF-THE-SECOND FACTS PATTERN-OF-AIOQUIC SERVER-FLAGS... -- CLIENT-FLAGS...
	local words=$1 facts ended=$3 flags=() bytes=1000
	IFS=, read -ra facts <<<"$2"
	shift 3
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	start_aioquic "${flags[@]}"
	fetch -session-file "$tmp/sessions"
	rm -r "$tmp/logs"
	if [[ $* = *-0rtt* ]]; then
		until_early fetch -session-file "$tmp/sessions" "$@"
	else
		fetch -session-file "$tmp/sessions" "$@"
	fi
	told "$words"
	logs_show "${facts[@]}"
	stop_aioquic "$ended"
}

no_common_version() {
	start_aioquic --versions 1
	! (fetch -versions 2) 2>/dev/null || die "it worked"
	told 'no common version'
	kill "$server_pid"
	server_pid=
	echo "no common version"
}

# A session of version 2 makes the client begin with version 2. This server speaks only version 1.
version_of_session() {
	local bytes=1000
	start_aioquic --versions 2
	fetch -session-file "$tmp/sessions"
	stop_aioquic 'version 0x6b3343cf'
	rm -r "$tmp/logs"
	start_aioquic --versions 1
	fetch -session-file "$tmp/sessions" -0rtt
	logs_show "received version_negotiation" "version 6b3343cf" "version 00000001"
	stop_aioquic 'version 0x1, resumed False, early data False'
}

check "server: 5 MB" with_aioquic 'QUIC version 0x1,' 'ecn failed' 'version 0x1' --
check "server: POST of 5 MB, PUT" requests
check "server: ChaCha20" with_aioquic TLS_CHACHA20_POLY1305_SHA256 'received 1RTT' 'version 0x1' --cipher CHACHA20_POLY1305_SHA256 --
check "server: 2 % of packets lost" with_aioquic 'QUIC version' 'received 1RTT' 'version 0x1' --loss 0.02 --
check "server: Retry" with_aioquic 'QUIC version' 'received retry,sent token' 'version 0x1' --retry --
check "server: resumption" two_processes ', resumed' '!sent 0RTT' 'resumed True, early data False' --
check "server: 0-RTT" two_processes 'early data accepted' 'sent 0RTT' 'resumed True, early data True' -- -0rtt
check "server: 0-RTT in version 2" two_processes 'version 0x6b3343cf.*early data accepted' 'sent 0RTT,!version 00000001' \
	'version 0x6b3343cf, resumed True, early data True' --versions 2 -- -0rtt
bytes=15000000 check "server: key updates by the client" with_aioquic '([2-9]|[1-9][0-9]+) key updates' 'sent phase 1,received phase 1' \
	'key phases \[0, 1, 0' -- -key-update 20ms
bytes=15000000 check "server: key updates by the server" with_aioquic '([2-9]|[1-9][0-9]+) key updates' 'sent phase 1,received phase 1' \
	'key phases \[0, 1, 0' --key-update 0.1 --
check "server: migration" with_aioquic ' 1 path changes' 'sent path_challenge,received path_response,received path_challenge,sent path_response' \
	' 2 addresses' -- -migrate 50ms
check "server: rebinding" with_aioquic ' 0 path changes' '!sent path_challenge,received path_challenge,sent path_response' \
	' 2 addresses' -- -rebind 50ms
check "server: version 2" with_aioquic 'version 0x6b3343cf' '!version 00000001' 'version 0x6b3343cf' -- -versions 2
# aioquic's server chooses the version that its client prefers.
check "server: version 2, compatible with 1" with_aioquic 'version 0x6b3343cf' '!received version_negotiation,version 00000001' \
	'version 0x6b3343cf' -- -versions 2,1
check "server: Version Negotiation, from 1 to 2" with_aioquic 'version 0x6b3343cf' 'received version_negotiation' 'version 0x6b3343cf' --versions 2 --
check "server: Version Negotiation, from 2 to 1" version_of_session
check "server: no common version" no_common_version
report
