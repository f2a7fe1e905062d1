# Sourced by the scripts beside it: starts and stops examples/h3server.
# It expects CI_WORK, a directory for what lasts as long as the run, with bin/h3server in it.
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
start_server() {
	: >"$tmp/server.log" # now, or what is read below could still be of the server before
	"$CI_WORK/bin/h3server" -addr 127.0.0.1:0 "$@" >"$tmp/server.log" 2>&1 &
	server_pid=$!
	local i
	for i in $(seq 100); do
		server_key=$(sed -n 's|^SHA-256 of the public key (SPKI): ||p' "$tmp/server.log")
		server_addr=$(sed -n 's|^serving HTTP/3 on https://\([^/]*\)/.*|\1|p' "$tmp/server.log")
		server_port=${server_addr##*:}
		[ -z "$server_key" ] || [ -z "$server_addr" ] || return 0
		kill -0 "$server_pid" 2>/dev/null || break
		sleep 0.1
	done
	die "h3server does not start"
}

# stop_server ends the server the way a person would, and expects it to end well.
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

# pattern N writes the N bytes that the server serves at /bytes/N: 0 to 255, again and again.
pattern() {
	python3 -c 'import sys; n = int(sys.argv[1]); b = bytes(range(256)); sys.stdout.buffer.write((b * (n // 256 + 1))[:n])' "$1"
}

# same FILE FILE
same() {
	cmp "$1" "$2" || die "$1 differs from $2"
}
