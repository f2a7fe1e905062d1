#!/usr/bin/env bash
# niquests with h3server. Its QUIC is qh3.
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")
python=$CI_WORK/venv/bin/python

# client CASE FLAGS... drives niquests.
client() {
	start_server "${@:2}"
	timeout 180 "$python" -W ignore "$here/niquests_client.py" "$server_port" "$1" || die "niquests"
	stop_server
}

check "GET of 10 MB, POST of 5 MB" client transfers
check "GET of 10 MB, POST of 5 MB, after a Retry" client transfers -retry
check "requests with 40 kB of fields" client fields
check "100 requests at once" client together
check "one connection after another" client again
report
