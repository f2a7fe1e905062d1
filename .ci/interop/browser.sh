# Runs headless Chromium. The scripts beside it source it after server.sh.

# browse FLAGS... URL
browse() {
	timeout 240 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
		--disable-background-networking --no-first-run --user-data-dir="$(mktemp -d "$tmp/profile.XXXXXX")" \
		--origin-to-force-quic-on="$server_addr" --ignore-certificate-errors-spki-list="$server_key" \
		"$@" 2>"$tmp/chromium.log" || {
		tail -20 "$tmp/chromium.log" >&2
		die "chromium $*"
	}
}

# expect TEXT fails unless $tmp/dom, which --dump-dom wrote, has the text.
expect() {
	grep -qF "$1" "$tmp/dom" || {
		cat "$tmp/dom" >&2
		die "chromium: want $1"
	}
	echo "$1"
}
