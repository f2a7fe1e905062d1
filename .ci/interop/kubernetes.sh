#!/usr/bin/env bash
# Builds kube-apiserver and etcd from the Go proxy, and has them judge deploy/kubernetes. It is no
# stage of .ci/run, because the build takes ten minutes of CPU and 3 GB.
#
#   .ci/interop/kubernetes.sh [DIR]    keeps the programs in DIR
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly kubernetes=1.37.2
readonly etcd=3.7.3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bin=$(realpath "${1:-$work/bin}")
mkdir -p "$bin"

# build NAME PACKAGE@VERSION [REPLACEMENT...]: `go install` refuses modules that replace others, so
# another module requires them.
build() {
	[ ! -x "$bin/$1" ] || return 0
	mkdir "$work/$1"
	(
		cd "$work/$1"
		go mod init "$1"
		local replacement
		for replacement in "${@:3}"; do
			go mod edit -replace "$replacement"
		done
		go get "$2"
		go build -o "$bin/$1" "${2%@*}"
	)
}

# The repository of Kubernetes has the modules k8s.io/... inside. They are published as v0.
gomod=$(cd "$work" && go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
replacements=()
for module in $(sed -n 's/^\t\(k8s.io\/[a-z-]*\) v0\.0\.0$/\1/p' "$gomod"); do
	replacements+=("$module=$module@v0${kubernetes#1}")
done
build kube-apiserver "k8s.io/kubernetes/cmd/kube-apiserver@v$kubernetes" "${replacements[@]}"
build etcd "go.etcd.io/etcd/server/v3@v$etcd"
cd internal/interop
LAZO_KUBERNETES=$bin go test -count=1 -v -run '^TestServer$' ./kubernetes
