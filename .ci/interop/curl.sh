#!/usr/bin/env bash
# curl with h3server. Debian's curl has no HTTP/3, so this one comes with Python's curl_cffi.
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")
python=$CI_WORK/venv/bin/python

# client CASE drives curl.
client() {
	start_server -v
	timeout 180 "$python" "$here/curl_client.py" "$server_port" "$1" || die "curl"
	stop_server
}

check "GET of 10 MB, POST of 5 MB" client transfers
check "149 small answers beside an endless one" client sharing
check "8 downloads at once" client together
report
