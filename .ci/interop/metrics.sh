#!/usr/bin/env bash
# Prometheus scrapes examples/edge under load. It must find every expression of the dashboard and of
# the alerts to have values, and promtool must have no objection to any of the files.
source "$(dirname "$0")/server.sh"

certificate
for program in prometheus promtool; do
	command -v "$program" >/dev/null || die "there is no $program: run stage install"
done
exec python3 "$(dirname "$0")/metrics.py" "$CI_WORK" "$tmp" deploy
