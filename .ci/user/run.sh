#!/usr/bin/env bash
# Builds and runs the programs beside it in a module outside the repository, as users of this module
# do.
set -euo pipefail
: "${CI_WORK:?is set by .ci/run}"
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)

server_pid=
cleanup() {
	if [ -n "$server_pid" ]; then
		kill "$server_pid" 2>/dev/null || true
	fi
}
trap cleanup EXIT

# in_module DIR EDIT...: makes the directory a module that requires this one, and goes there. EDITs
# are arguments of go mod edit.
in_module() {
	cd "$1"
	go mod init "example.com/$(basename "$1")" 2>/dev/null
	go mod edit "${@:2}" -require=github.com/lazoquic/lazo@v0.0.0 -replace=github.com/lazoquic/lazo="$repo"
	go mod tidy 2>"$1/tidy.log" || { cat "$1/tidy.log" >&2 && exit 1; }
	go vet ./...
}

dir=$(mktemp -d "$CI_WORK/user.XXXXXX")
cp -r "$here"/*/ "$dir"

# Lazo does not raise other requirements of a program that imports it. The program keeps its version
# of quic-go.
beside=$(mktemp -d "$CI_WORK/beside.XXXXXX")
mv "$dir/beside/main.go" "$beside"
quicgo='github.com/quic-go/quic-go v0.59.0'
in_module "$beside" -require="${quicgo/ /@}"
[ "$(go list -m github.com/quic-go/quic-go)" = "$quicgo" ] || {
	echo "FAILED: beside Lazo $quicgo becomes $(go list -m github.com/quic-go/quic-go)" >&2
	exit 1
}
go build -o beside .
timeout 60 ./beside

python3 "$here/snippets.py" "$dir" "$repo/README.md" "$repo"/docs/*.md
in_module "$dir"
go test ./...
go build -o bin/ ./serve ./fetch ./pulse
go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host localhost,127.0.0.1 --ca --ecdsa-curve P256 2>/dev/null

timeout 60 bin/pulse

# The server does not print its port, so it gets a free one here.
port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin/serve "127.0.0.1:$port" &
server_pid=$!
# Where no one has the port yet, the fetch fails at once.
for i in $(seq 1200); do
	! grep -q "0100007F:$(printf %04X "$port") " /proc/net/udp || break
	kill -0 "$server_pid"
	sleep 0.05
done
timeout 60 bin/fetch "127.0.0.1:$port"
