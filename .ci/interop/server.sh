# Starts and stops examples/h3server, runs cases and prints their table. The scripts beside it
# source it. CI_WORK must name a directory that lasts as long as the run, with bin/h3server in it.
set -euo pipefail
: "${CI_WORK:?is set by .ci/run}"

server_pid=
tmp=$(mktemp -d "$CI_WORK/interop.XXXXXX")

die() {
	echo "FAILED: $*" >&2
	[ ! -f "$tmp/server.log" ] || { echo "server:" >&2 && tail -20 "$tmp/server.log" >&2; }
	exit 1
}

# start_server FLAGS... sets server_pid, server_addr (HOST:PORT), server_port and server_key,
# the hash of the server's public key.
start_server() { start_server_at 127.0.0.1:0 "$@"; }

start_server_at() {
	local addr=$1
	shift
	: >"$tmp/server.log" # now, so that the loop below does not read lines of the last server
	"$CI_WORK/bin/h3server" -addr "$addr" "$@" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	local i
	for i in $(seq 600); do
		server_key=$(sed -n 's|^SHA-256 of the public key (SPKI): ||p' "$tmp/server.log")
		server_addr=$(sed -n 's|^serving HTTP/3 on https://\([^/]*\)/.*|\1|p' "$tmp/server.log")
		server_port=${server_addr##*:}
		[ -z "$server_key" ] || [ -z "$server_addr" ] || return 0
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	die "h3server does not start"
}

# stop_server ends the server with a signal, as a person would, and expects status 0.
stop_server() {
	local pid=$server_pid
	server_pid=
	kill -TERM "$pid"
	wait "$pid" || die "h3server ended with status $?"
}

cleanup() {
	if [ -n "$server_pid" ]; then
		kill "$server_pid" 2>/dev/null || true
	fi
}
trap cleanup EXIT

# pattern N writes the N bytes that the server serves at /bytes/N: 0 to 255, over and over.
pattern() {
	[ -f "$CI_WORK/pattern" ] || python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 250000)' >"$CI_WORK/pattern"
	head -c "$1" "$CI_WORK/pattern"
}

# check NAME COMMAND... runs a case in a shell of its own, and notes how it ended. The last line
# that it prints goes into the table.
results=()
failed=0
check() {
	local name=$1 status began=$EPOCHREALTIME
	shift
	set +e # not in a condition, where set -e would have no effect in the case
	(
		set -e
		trap cleanup EXIT
		"$@"
	) >"$tmp/case.log" 2>&1
	status=$?
	set -e
	name+="	$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $began }") s"
	if [ "$status" = 0 ]; then
		results+=("PASS	$name	$(tail -1 "$tmp/case.log")")
	else
		echo "FAILED: $name" >&2
		tail -40 "$tmp/case.log" >&2
		results+=("FAIL	$name	$(grep -m1 FAILED "$tmp/case.log" || tail -1 "$tmp/case.log")")
		failed=$((failed + 1))
	fi
	rm -rf "$tmp/logs"
}

# report prints the table of all cases, and fails if one has.
report() {
	printf '%s\n' "${results[@]}" | awk -F '\t' '{ printf "%s  %-52s %6s  %s\n", $1, $2, $3, $4 }'
	echo "$((${#results[@]} - failed)) of ${#results[@]} cases passed"
	[ "$failed" = 0 ] || exit 1
}

# logs_show FACT... looks for facts in the logs of connections: see qlog.py.
logs_show() {
	python3 "$(dirname "${BASH_SOURCE[0]}")/qlog.py" "$tmp/logs" "$@" || die "the logs do not show it"
}

# until_early COMMAND... runs h3client until it has sent early data. On a busy machine the handshake
# may end before the request is ready.
until_early() {
	local i
	for i in $(seq 10); do
		rm -rf "$tmp/logs"
		"$@"
		! python3 "$(dirname "${BASH_SOURCE[0]}")/qlog.py" "$tmp/logs" "sent 0RTT" >/dev/null 2>&1 || return 0
	done
	die "there was no early data"
}

# server_says PATTERN waits until h3server -v has printed a line with PATTERN at the end of a
# connection. If the client's last packet is lost, that takes until the idle timeout of 30 s.
server_says() {
	local i
	for i in $(seq 600); do
		grep -qE "$1" "$tmp/server.log" && return
		sleep 0.1
	done
	die "h3server does not say: $1"
}

# certificate makes cert.pem and key.pem of localhost, once a run, with a program that comes with
# crypto/tls.
certificate() {
	[ ! -f "$CI_WORK/cert.pem" ] || return 0
	(cd "$CI_WORK" && go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host localhost,127.0.0.1 --ecdsa-curve P256) >"$tmp/cert.log" 2>&1 ||
		die "$(cat "$tmp/cert.log")"
}

# free_port prints a UDP port of 127.0.0.1 that is free.
free_port() {
	python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for_port PORT waits until a process has that UDP port of 127.0.0.1.
wait_for_port() {
	local i
	for i in $(seq 1200); do
		! grep -q "0100007F:$(printf %04X "$1") " /proc/net/udp || return 0
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.05
	done
	die "the server does not start"
}

# same FILE FILE
same() {
	cmp "$1" "$2" || die "$1 differs from $2"
}
