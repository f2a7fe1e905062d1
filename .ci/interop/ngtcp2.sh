#!/usr/bin/env bash
# ngtcp2's client with h3server, and h3client with ngtcp2's server: gtlsclient and gtlsserver in
# Debian.
#
# The programs of Debian 12 know only a draft of QUIC v2, and cannot read the token file that the
# client writes. They refuse some early data, too: crypto/tls rounds the age of tickets by up to a
# second, and GnuTLS refuses a ticket that seems to come from the future.
source "$(dirname "$0")/server.sh"

dump=(-q) # how much the client prints
loudly() {
	dump=(--no-quic-dump --no-http-dump)
	"$@"
}

# get FLAGS... -- PATH... downloads paths from h3server and checks their bytes.
get() {
	local flags=() urls=() path
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	for path in "$@"; do
		urls+=("https://$server_addr$path")
	done
	rm -rf "$tmp/down"
	mkdir "$tmp/down"
	timeout 180 gtlsclient "${dump[@]}" --handshake-timeout=30s --exit-on-all-streams-close --download="$tmp/down" "${flags[@]}" \
		127.0.0.1 "$server_port" "${urls[@]}" >"$tmp/client.log" 2>&1 || {
		tail -20 "$tmp/client.log" >&2
		die "gtlsclient"
	}
	for path in "$@"; do
		case $path in
		/bytes/*)
			pattern "${path##*/}" >"$tmp/want"
			same "$tmp/want" "$tmp/down/${path##*/}"
			;;
		esac
	done
}

# client_says PATTERN
client_says() {
	grep -qE "$1" "$tmp/client.log" || die "the client does not say: $1"
}

download() {
	start_server -qlog "$tmp/logs"
	get "$@"
	stop_server
}

streams() {
	download -- $(seq -f '/bytes/%.0f' 1 5000 500000)
}

tls=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL
cipher() {
	start_server -v
	get --ciphers="$tls:+$1" -- /bytes/1000000
	stop_server
	client_says "Negotiated cipher suite is $1"
}

post() {
	start_server
	pattern 5000000 >"$tmp/upload"
	get -m POST --data="$tmp/upload" -- /echo
	same "$tmp/upload" "$tmp/down/echo"
	stop_server
}

controller() {
	start_server -cc "$1" -loops 2
	get -- /bytes/10000000
	stop_server
}

retry() {
	start_server -retry -qlog "$tmp/logs"
	get -- /bytes/1000000
	stop_server
	client_says 'type=Retry'
	logs_show "received token"
}

# The client runs twice. The second request comes with the first packets of its connection.
early_data() {
	start_server -v -0rtt -qlog "$tmp/logs"
	local files=(--session-file="$tmp/session" --tp-file="$tmp/params")
	get "${files[@]}" -- /bytes/1000
	logs_show "!received 0RTT"
	get "${files[@]}" -- /bytes/1000
	server_says 'resumed: true, early data: true'
	stop_server
	logs_show "received 0RTT"
}

resumption() {
	start_server -v
	local files=(--session-file="$tmp/session" --disable-early-data)
	get "${files[@]}" -- /bytes/1000
	get "${files[@]}" -- /bytes/1000
	server_says 'resumed: true, early data: false'
	stop_server
	echo "resumed: true, early data: false"
}

# The keys of the tickets are gone, so the client has to send its early data again.
early_data_refused() {
	start_server -v -0rtt
	local files=(--session-file="$tmp/session" --tp-file="$tmp/params")
	get "${files[@]}" -- /bytes/1000
	stop_server
	start_server -v -0rtt -qlog "$tmp/logs"
	get "${files[@]}" -- /bytes/1000
	server_says 'resumed: false, early data: false'
	stop_server
	client_says 'tx [0-9]+ 0RTT STREAM'
	logs_show "!received 0RTT"
}

restart() { # with -secret a new server can read old tickets
	start_server -v -0rtt -secret "$1"
	local files=(--session-file="$tmp/session" --tp-file="$tmp/params")
	get "${files[@]}" -- /bytes/1000
	stop_server
	start_server -v -0rtt -secret "$1"
	get "${files[@]}" -- /bytes/1000
	server_says 'resumed: true, early data: true'
	stop_server
	echo "resumed: true, early data: true"
}

key_update_by_client() {
	start_server -v -qlog "$tmp/logs"
	get --key-update=2ms -- /bytes/20000000
	server_says '[1-9][0-9]* key updates'
	stop_server
	logs_show "received phase 1" "sent phase 1"
}

key_update_by_server() {
	start_server -v -key-update 3ms -qlog "$tmp/logs"
	get -- /bytes/20000000
	server_says '[1-9][0-9]* key updates'
	stop_server
	logs_show "sent phase 1" "received phase 1"
	grep -oE '[0-9]+ key updates' "$tmp/server.log"
}

migration() {
	start_server -v -qlog "$tmp/logs"
	get --change-local-addr=10ms -- /bytes/40000000
	client_says 'Local address is now'
	client_says 'succeeded'
	server_says ' 1 path changes'
	stop_server
	logs_show "received path_challenge" "sent path_response" "sent path_challenge" "received path_response"
}

rebinding() {
	start_server -v -qlog "$tmp/logs"
	pattern 20000000 >"$tmp/upload"
	get -m POST --data="$tmp/upload" --change-local-addr=20ms --nat-rebinding -- /echo
	same "$tmp/upload" "$tmp/down/echo"
	client_says 'Local address is now'
	server_says ' 1 path changes'
	stop_server
	logs_show "sent path_challenge" "received path_response" "!received path_challenge"
}

preferred_address() {
	start_server -v -preferred-address 127.0.0.1:0 -qlog "$tmp/logs"
	get -- /bytes/20000000
	client_says 'remote:\[127.0.0.1\]:[0-9]+} succeeded'
	server_says ' 1 path changes'
	stop_server
	logs_show "received path_challenge" "sent path_challenge"
}

preferred_address_declined() {
	start_server -v -preferred-address 127.0.0.1:0 -qlog "$tmp/logs"
	get --no-preferred-addr -- /bytes/1000000
	server_says ' 0 path changes'
	stop_server
	logs_show "!received path_challenge"
}

# The server speaks no draft. Its list has version 1, and the client begins again with that.
version_negotiation() {
	start_server -v
	get --version=v2draft --preferred-versions=v2draft,v1 --other-versions=v2draft,v1 -- /bytes/100000
	client_says 'type=VN'
	server_says 'version 0x1,'
	stop_server
	grep -m1 -o 'type=VN' "$tmp/client.log"
}

ecn() {
	download -- /bytes/10000000
	client_says 'path is ECN capable'
	logs_show "ecn capable" "!ecn failed"
}

# The server dies. Another one, with the same secret, gets the packets of its connections.
stateless_reset() {
	start_server -secret x
	truncate -s 3G "$tmp/upload"
	timeout 180 gtlsclient --no-quic-dump --no-http-dump --exit-on-all-streams-close -m POST --data="$tmp/upload" \
		127.0.0.1 "$server_port" "https://$server_addr/echo" >"$tmp/client.log" 2>&1 &
	local client=$! i
	for i in $(seq 1200); do # until the upload is under way
		! grep -q 'Negotiated ALPN' "$tmp/client.log" || break
		sleep 0.05
	done
	sleep 0.1
	kill -KILL "$server_pid"
	wait "$server_pid" || true
	start_server_at "$server_addr" -secret x
	wait "$client" || true
	stop_server
	client_says 'SR token='
	grep -oE 'rx [0-9]+ SR token' "$tmp/client.log"
}

lossy() {
	start_server -v
	get --tx-loss=0.02 --rx-loss=0.02 -- /bytes/10000000
	server_says ' [1-9][0-9]* lost'
	stop_server
	grep -oE '[0-9]+ sent, [0-9]+ received, [0-9]+ lost' "$tmp/server.log"
}

# start_gtls FLAGS... starts gtlsserver with two files to serve.
start_gtls() {
	certificate
	if [ ! -d "$CI_WORK/htdocs" ]; then
		mkdir "$CI_WORK/htdocs"
		pattern 30000000 >"$CI_WORK/htdocs/big"
		pattern 1000 >"$CI_WORK/htdocs/small"
	fi
	server_port=$(free_port)
	gtlsserver -q --htdocs="$CI_WORK/htdocs" "$@" 127.0.0.1 "$server_port" "$CI_WORK/key.pem" "$CI_WORK/cert.pem" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	wait_for_port "$server_port"
}

stop_gtls() {
	kill "$server_pid"
	wait "$server_pid" || true
	server_pid=
}

# fetch FLAGS... FILE has h3client fetch a file, and keeps its output.
fetch() {
	local file=${!#}
	timeout 180 "$CI_WORK/bin/h3client" -ca "$CI_WORK/cert.pem" -v -qlog "$tmp/logs" -o "$tmp/got" "${@:1:$#-1}" \
		"https://localhost:$server_port/$file" 2>"$tmp/client.log" || {
		tail -20 "$tmp/client.log" >&2
		die "h3client"
	}
	same "$CI_WORK/htdocs/$file" "$tmp/got"
}

# told PATTERN expects a line with PATTERN in the output of h3client, and prints it.
told() {
	grep -oE "$1" "$tmp/client.log" || die "h3client does not say: $1"
}

from_gtls() { # PATTERN-OF-H3CLIENT FACTS-IN-THE-LOGS FETCH...
	local words=$1 facts
	IFS=, read -ra facts <<<"$2"
	fetch "${@:3}"
	logs_show "${facts[@]}"
	told "$words"
}

with_gtls() { # SERVER-FLAGS -- COMMAND...
	local flags=()
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	start_gtls "${flags[@]}"
	"$@"
	stop_gtls
}

post_to_gtls() { # PATTERN-OF-H3CLIENT FACTS-IN-THE-LOGS
	truncate -s 20M "$tmp/upload"
	from_gtls "$1" "$2" -d "@$tmp/upload" small
}

# ngtcp2's server may not answer the first PATH_CHALLENGE until the next one comes, so this
# connection lasts long enough.
slow_post() { # PATTERN-OF-H3CLIENT FACTS-IN-THE-LOGS
	(sleep 8 && echo) | from_gtls "$1" "$2" -d @- small
}

two_processes() { # PATTERN-OF-H3CLIENT FACTS-IN-THE-LOGS FLAGS...
	fetch -session-file "$tmp/sessions" small
	rm -r "$tmp/logs"
	if [[ $* = *-0rtt* ]]; then
		until_early fetch -session-file "$tmp/sessions" "${@:3}" small
	fi
	from_gtls "$1" "$2" -session-file "$tmp/sessions" "${@:3}" small
}

no_common_version() {
	! (fetch -versions 2 small) 2>/dev/null || die "it worked"
	told 'no common version'
}

# A session of version 2, from another server of the same name, makes the client begin with version
# 2.
version_of_session() {
	certificate
	start_server -versions 2 -cert "$CI_WORK/cert.pem" -key "$CI_WORK/key.pem"
	"$CI_WORK/bin/h3client" -ca "$CI_WORK/cert.pem" -session-file "$tmp/sessions" "https://localhost:$server_port/" >/dev/null
	stop_server
	start_gtls
	from_gtls 'QUIC version 0x1,' 'received version_negotiation,version 6b3343cf,version 00000001' -session-file "$tmp/sessions" small
	stop_gtls
}

check "client: 10 MB" download -- /bytes/10000000
check "client: 100 streams at once" streams
check "client: POST of 5 MB" post
for c in AES-128-GCM AES-256-GCM CHACHA20-POLY1305; do
	check "client: $c" loudly cipher "$c"
done
for g in X25519 SECP256R1 SECP384R1; do
	check "client: group $g" download --groups="-GROUP-ALL:+GROUP-$g" -- /bytes/100000
done
check "client: without a connection ID" download --scid= -- /bytes/1000000
check "client: small windows" download --max-data=20000 --max-stream-data-bidi-local=10000 -- /bytes/1000000 /bytes/500000
check "client: delayed streams" download --delay-stream=100ms -- /bytes/100000
check "client: 2 % of packets lost, both ways" lossy
for cc in newreno bbr; do
	check "client: our controller $cc" controller "$cc"
done
check "client: Retry" loudly retry
check "client: resumption" resumption
check "client: 0-RTT" early_data
check "client: 0-RTT refused" loudly early_data_refused
check "client: 0-RTT with a server that was restarted" restart secret
check "client: key updates by the client" key_update_by_client
check "client: key updates by the server" key_update_by_server
check "client: migration" loudly migration
check "client: NAT rebinding" loudly rebinding
check "client: preferred address" loudly preferred_address
check "client: preferred address declined" preferred_address_declined
check "client: version negotiation" loudly version_negotiation
check "client: ECN" loudly ecn
check "client: stateless reset" stateless_reset

check "server: 30 MB, ECN" with_gtls -- from_gtls 'HTTP/3 200 OK' 'ecn capable,!ecn failed' big
check "server: POST of 20 MB" with_gtls -- post_to_gtls 'HTTP/3 200 OK' 'ecn capable,sent stream'
check "server: ChaCha20" with_gtls --ciphers="$tls:+CHACHA20-POLY1305" -- from_gtls TLS_CHACHA20_POLY1305_SHA256 'received 1RTT' big
check "server: 2 % of packets lost, both ways" with_gtls --tx-loss=0.02 --rx-loss=0.02 -- post_to_gtls '[0-9]+ sent, [0-9]+ received, [1-9][0-9]* lost' lost
check "server: Retry" with_gtls -V -- from_gtls 'HTTP/3 200 OK' 'received retry,sent token' small
check "server: NEW_TOKEN spares a Retry" with_gtls -V -- two_processes 'HTTP/3 200 OK' 'sent token,!received retry'
check "server: resumption" with_gtls -- two_processes 'TLS 1.3.*, resumed' '!sent 0RTT'
check "server: early data, which it refuses" with_gtls -- two_processes 'HTTP/3 200 OK' 'sent 0RTT' -0rtt
check "server: key updates" with_gtls -- from_gtls '[1-9][0-9]* key updates' 'sent phase 1,received phase 1' -key-update 3ms big
check "server: migration" with_gtls -- from_gtls '1 path changes' 'sent path_challenge,received path_response,received path_challenge,sent path_response' -migrate 10ms big
check "server: rebinding" with_gtls -- from_gtls '0 path changes' '!sent path_challenge,received path_challenge,sent path_response' -rebind 10ms big
check "server: preferred address" with_gtls --preferred-ipv4-addr="127.0.0.1:$(free_port)" -- slow_post '1 path changes' 'sent path_challenge,received path_response'
check "server: no common version" with_gtls -- no_common_version
check "server: Version Negotiation, from 2 to 1" version_of_session
report
