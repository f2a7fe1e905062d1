#!/usr/bin/env bash
# Builds programs with h3-quinn, s2n-quic and wtransport of crates.io, and has them ask this side and
# be asked by it. It is for the night and no stage of .ci/run, because the build takes ten minutes of
# CPU. It needs cargo, cmake and a C compiler.
#
#   .ci/interop/crates.sh [DIR]    keeps what was built in DIR
set -euo pipefail
cd "$(dirname "$0")/../../internal/interop"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CARGO_TARGET_DIR=$(realpath -m "${1:-$work/target}")
export CARGO_TARGET_DIR

for peer in quinn-h3 s2n-quic wtransport; do
	cargo build --release --locked -j"${JOBS:-2}" --manifest-path "peers/$peer/Cargo.toml"
done
LAZO_QUINN=$CARGO_TARGET_DIR/release/quinn-h3 \
	LAZO_S2N_QUIC=$CARGO_TARGET_DIR/release/s2n-quic-peer \
	LAZO_WTRANSPORT=$CARGO_TARGET_DIR/release/wtransport-peer \
	go test -count=1 -v -timeout=10m -run '^Test(Quinn|S2N|Wtransport)' .
