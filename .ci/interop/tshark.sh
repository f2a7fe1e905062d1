#!/usr/bin/env bash
# tshark decrypts connections of h3client and h3server with the keys that they log, and must find no
# fault in them.
if [ -z "${TSHARK_NETNS:-}" ]; then
	exec unshare --net env TSHARK_NETNS=1 bash "$0" # a loopback interface of its own
fi
source "$(dirname "$0")/server.sh"
ip link set lo up
# tshark takes some ports below these for those of other protocols, Manolito for example.
echo 61000 65535 >/proc/sys/net/ipv4/ip_local_port_range
ip link set lo gso_max_segs 1 # so that the capture has single datagrams, not bursts

export SSLKEYLOGFILE=$CI_WORK/tshark.keys

# captured TEXT sends datagrams with a text until the capture has one. Then it has everything
# before, too.
captured() {
	local i
	for i in $(seq 1200); do
		echo "$1 of the capture" >/dev/udp/127.0.0.1/9
		sleep 0.05
		! grep -qsa "$1 of the capture" "$tmp/capture" || return 0
	done
	die "dumpcap captures nothing: $(cat "$tmp/dumpcap.log")"
}

# capture COMMAND... writes the datagrams of the command to a file.
capture() {
	rm -f "$tmp/capture"
	dumpcap -q -i lo -f udp -B 64 -w "$tmp/capture" >"$tmp/dumpcap.log" 2>&1 &
	local pid=$!
	captured begin
	"$@"
	captured end
	kill -INT "$pid"
	wait "$pid" || die "dumpcap: $(cat "$tmp/dumpcap.log")"
}

# tshark 4.0 learns which protocol the streams carry from the server's answer, which is after the 0-RTT
# packets. So it reads everything twice (-2).
shark() {
	tshark -2 -r "$tmp/capture" -o tls.keylog_file:"$SSLKEYLOGFILE" -d "udp.port==$server_port,quic" "$@" 2>/dev/null
}

# count FILTER prints how many datagrams match.
count() {
	shark -Y "$1" | wc -l
}

# dissect FILTER... fails unless tshark could read everything, and each filter matches somewhere. A
# frame that was sent again is noted by tshark, too, but is no fault.
dissect() {
	local complaints n filter
	complaints=$(shark -q -z expert | grep -E '^ +[0-9]+ ' | grep -vE '^ +[0-9]+ +Sequence ' || true)
	[ -z "$complaints" ] || die "tshark complains: $complaints
$(shark -Y _ws.malformed -O quic,http3 -x | head -300)"
	n=$(count '_ws.malformed || quic.decryption_failed || (quic.header_form == 0 && !quic.frame_type)')
	[ "$n" = 0 ] || die "$n datagrams are malformed or were not decrypted: $(shark -Y 'quic.header_form == 0 && !quic.frame_type' | head -3)"
	for filter in 'http3.frame_type == 1' "$@"; do
		n=$(count "$filter")
		[ "$n" -gt 0 ] || die "nothing fits $filter"
	done
	echo "$(count quic) datagrams, no complaint"
}

client() {
	timeout 120 "$CI_WORK/bin/h3client" -insecure "${version[@]}" "$@" >/dev/null
}

requests() {
	client "https://$server_addr/" "https://$server_addr/bytes/1000000"
	client -d hello "https://$server_addr/echo"
}

with_server() { # COMMAND SERVER-FLAGS...
	: >"$SSLKEYLOGFILE"
	start_server "${@:2}"
	capture "$1"
	stop_server
}

plain() { # SERVER-FLAGS... -- FILTER...
	local flags=()
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	with_server requests "${flags[@]}"
	dissect "${@:2}"
}

twice() {
	client -session-file "$tmp/sessions" "https://$server_addr/bytes/1000"
	client -session-file "$tmp/sessions" -0rtt "https://$server_addr/bytes/1000"
}

# 0-RTT packets after the server's first packet carry the server's connection ID (RFC 9000, Section
# 7.2). tshark does not find their keys by that. Or the handshake ends before the request is ready, and
# only the SETTINGS are early. Both happen to a slow client, so early_data tries again.
early_data() {
	local i
	for i in $(seq 20); do
		rm -f "$tmp/sessions"
		with_server twice -0rtt
		[ "$(count "$1 && !quic.frame_type")" != 0 ] || [ "$(count "$1 && http3.frame_type == 1")" = 0 ] || break
	done
	# Only packets of 0-RTT and 1-RTT have streams.
	dissect "$1 && quic.stream.stream_id" "$1 && http3.settings" "$1 && http3.frame_type == 1"
	shark -Y "$1 && http3.frame_type == 1" -T fields -e http3.frame_payload |
		"$CI_WORK/venv/bin/python" "$(dirname "$0")/fields.py" ':method: GET' ':path: /bytes/1000' ||
		die "the request is not in the HEADERS of 0-RTT"
}

# For the keys of early data and for Retry, tshark reads only the first packet of a client. So its
# ClientHello must not have a large key share.
short_hello() {
	export GODEBUG=tlsmlkem=0
	"$@"
}

update() {
	client -key-update 1ms "https://$server_addr/bytes/5000000"
}

key_updates() {
	with_server update
	dissect 'quic.key_phase == 1'
}

# recaptured COMMAND... runs a case, and runs it again if all that tshark found is one packet of HTTP/3 that is
# malformed. tshark 4.0 says so of one capture in a hundred, about a packet in the middle of a body. A fault
# of the packets would show in the second capture, too.
recaptured() {
	local status
	set +e
	(
		set -e
		"$@"
	) >"$tmp/first.log" 2>&1
	status=$?
	set -e
	cat "$tmp/first.log"
	[ "$status" != 0 ] || return 0
	grep -qE 'tshark complains: +1 +Malformed +HTTP3 +Malformed Packet' "$tmp/first.log" || return 1
	echo "once more"
	"$@"
}

# The files of -pcap hold the keys, so tshark needs no key log.
keys_inside() {
	export SSLKEYLOGFILE=/dev/null
	start_server -pcap "$tmp/server.pcapng"
	client -pcap "$tmp/client.pcapng" "https://$server_addr/" "https://$server_addr/bytes/1000000"
	stop_server
	local side
	for side in server client; do
		cp "$tmp/$side.pcapng" "$tmp/capture"
		dissect 'quic.frame_type == 0x08 || quic.frame_type == 0x0b'
	done
}

early=(none 'quic.long.packet_type == 1' 'quic.long.packet_type_v2 == 2')
for v in 1 2; do
	version=(-versions "$v")
	check "version $v: requests" plain -- 'quic.frame_type == 0x08 || quic.frame_type == 0x0b'
	check "version $v: Retry" short_hello plain -retry -- 'quic.retry_token'
	check "version $v: 0-RTT" short_hello early_data "${early[v]}"
	check "version $v: key updates" recaptured key_updates
done
version=(-versions 1,2)
check "captures with the keys inside" recaptured keys_inside
check "compatible version negotiation" plain -versions 2,1 -- 'quic.version == 1' 'quic.version == 0x6b3343cf'
check "Version Negotiation" plain -versions 2 -- 'quic.version == 0' 'quic.version == 0x6b3343cf'
report
