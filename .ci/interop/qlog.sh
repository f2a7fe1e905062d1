#!/usr/bin/env bash
# Readers of quiche (crate qlog, from crates.io) read the qlogs of tests in both formats.
set -euo pipefail
: "${CI_WORK:?is set by .ci/run}"
here=$(dirname "$0")

# Debian's cargo is too old for these crates, so a machine without a newer one cannot check.
PATH=$PATH:$HOME/.cargo/bin
export CARGO_TARGET_DIR=$CI_WORK/cargo
manifest=$here/qlog_quiche/Cargo.toml
if ! command -v cargo >/dev/null || ! cargo fetch -q --locked --manifest-path "$manifest"; then
	echo "NOT CHECKED: there is no cargo here, or it does not reach crates.io"
	exit
fi

logs=$CI_WORK/qlogs
mkdir -p "$logs"
LAZO_QLOG=$logs go test -count=1 -run '^TestQLog' ./conn
cargo build -q --locked --manifest-path "$manifest"
reader=$CARGO_TARGET_DIR/debug/qlog_quiche
for format in draft 03; do
	echo "$format: $("$reader" "$logs/$format"_*.sqlog)"
	# The check proves something only if a wrong name fails.
	sed 's/:packet_lost"/:packet_gone"/' "$(grep -l ':packet_lost"' "$logs/$format"_*.sqlog | head -1)" >"$logs/wrong_$format.sqlog"
	! "$reader" "$logs/wrong_$format.sqlog" >/dev/null || { echo "FAILED: the reader takes wrong names" >&2 && exit 1; }
done
