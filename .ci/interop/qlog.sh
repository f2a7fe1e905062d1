#!/usr/bin/env bash
# Readers of quiche (crate qlog, from crates.io) read the qlogs of tests in both formats.
set -euo pipefail
: "${CI_WORK:?is set by .ci/run}"
here=$(dirname "$0")
command -v cargo >/dev/null || { echo "FAILED: there is no cargo" >&2 && exit 1; }

logs=$CI_WORK/qlogs
mkdir -p "$logs"
LAZO_QLOG=$logs go test -count=1 -run '^TestQLog' ./conn
export CARGO_TARGET_DIR=$CI_WORK/cargo
cargo build -q --locked --manifest-path "$here/qlog_quiche/Cargo.toml"
reader=$CARGO_TARGET_DIR/debug/qlog_quiche
for format in draft 03; do
	echo "$format: $("$reader" "$logs/$format"_*.sqlog)"
	# The check proves something only if a wrong name fails.
	sed 's/:packet_lost"/:packet_gone"/' "$(grep -l ':packet_lost"' "$logs/$format"_*.sqlog | head -1)" >"$logs/wrong_$format.sqlog"
	! "$reader" "$logs/wrong_$format.sqlog" >/dev/null || { echo "FAILED: the reader takes wrong names" >&2 && exit 1; }
done
