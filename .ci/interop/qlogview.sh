#!/usr/bin/env bash
# qlogview shows logs of aioquic's client and of h3server, of one connection, on one page. Chromium opens it.
source "$(dirname "$0")/server.sh"
here=$(dirname "$0")

both_sides() {
	mkdir "$tmp/foreign"
	QLOGDIR=$tmp/logs start_server
	QLOGDIR=$tmp/foreign timeout 180 "$CI_WORK/venv/bin/python" "$here/aioquic_client.py" "$server_port" transfers || die "aioquic's client"
	stop_server
	local log
	log=$(echo "$tmp"/foreign/*.qlog)
	[ -f "$log" ] || die "not one log of aioquic: $log"
	"$CI_WORK/bin/qlogview" -o "$tmp/page.html" "$log" "$tmp"/logs/*_server.sqlog >"$tmp/facts"
	cat "$tmp/facts"
	python3 - "$log" "$tmp/facts" <<'PY'
import collections, json, re, sys

# What aioquic counted, by a reader of Python's.
trace = json.load(open(sys.argv[1]))["traces"][0]
n = collections.Counter(e["name"] for e in trace["events"])
want = f'client, .* {n["transport:packet_sent"]} packets sent, {n["transport:packet_received"]} received, {n["recovery:packet_lost"]} lost, '
facts = open(sys.argv[2]).read()
if not re.search(want, facts):
    sys.exit(f"FAILED: want {want!r}")
sent, received = [tuple(map(int, m)) for m in re.findall(r"(\d+) packets sent, (\d+) received", facts)]
if not sent[0] > 1000 or received[1] > sent[0]:
    sys.exit(f"FAILED: {sent} and {received} packets")
print(f"{sum(n.values())} events of aioquic, and h3server's log of the same connection")
PY
}

check "aioquic and h3server on one page" both_sides
report
