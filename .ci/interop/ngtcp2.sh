#!/usr/bin/env bash
# ngtcp2's client, gtlsclient in Debian, against h3server.
source "$(dirname "$0")/server.sh"

# fetch WHAT FLAGS... -- PATH... downloads paths and checks their bytes.
fetch() {
	local what=$1 flags=() urls=() path
	shift
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
	timeout 60 gtlsclient -q --timeout=10s --exit-on-all-streams-close --download="$tmp/down" "${flags[@]}" \
		127.0.0.1 "$server_port" "${urls[@]}" >"$tmp/client.log" 2>&1 || {
		tail -20 "$tmp/client.log" >&2
		die "gtlsclient: $what"
	}
	for path in "$@"; do
		case $path in
		/bytes/*)
			pattern "${path##*/}" >"$tmp/want"
			same "$tmp/want" "$tmp/down/${path##*/}"
			;;
		esac
	done
	echo "$what"
}

tls=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL
start_server
fetch "10 MB" -- /bytes/10000000
fetch "streams at once" -- $(seq -f '/bytes/%.0f' 1 5000 500000)
for cipher in AES-128-GCM AES-256-GCM CHACHA20-POLY1305; do
	fetch "$cipher" --ciphers="$tls:+$cipher" -- /bytes/1000000
done
for group in X25519 SECP256R1 SECP384R1; do
	fetch "group $group" --groups="-GROUP-ALL:+GROUP-$group" -- /bytes/100000
done
fetch "key update" --key-update=5ms -- /bytes/50000000
fetch "2 % of packets lost, both ways" --tx-loss=0.02 --rx-loss=0.02 -- /bytes/3000000
fetch "a client without a connection ID" --scid= -- /bytes/1000000
fetch "small windows" --max-data=20000 --max-stream-data-bidi-local=10000 -- /bytes/1000000 /bytes/500000
pattern 5000000 >"$tmp/upload"
fetch "POST of 5 MB" -m POST --data="$tmp/upload" -- /echo
same "$tmp/upload" "$tmp/down/echo"
stop_server

start_server -retry
fetch "Retry" -- /bytes/1000000
stop_server
for cc in newreno bbr; do
	start_server -cc "$cc" -loops 2
	fetch "controller $cc" -- /bytes/10000000
	stop_server
done
