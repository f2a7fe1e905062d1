#!/bin/bash -eu
# Builds every fuzz target of the module for OSS-Fuzz, which sets SRC and has the command
# compile_native_go_fuzzer_v2. Targets with a build constraint need more than Go, and programs cannot
# be imported: they are left out.

cd "$SRC/lazo"

# The command makes ordinary Go files of test files. Those of an external test package, such as
# conn_test, would then be a second package in their directory.
external() {
	grep -lE '^package \w+_test$' "$1"/*_test.go || true
}

n=0
while IFS=: read -r file target; do
	dir=$(dirname "$file")
	name=$(tr / _ <<<"${dir#./}")_$target
	! grep -q '^//go:build ' "$file" || continue
	external "$dir" | xargs -r rm
	n=$((n + 1))
	compile_native_go_fuzzer_v2 "github.com/lazoquic/lazo/${dir#./}" "$target" "$name"
done < <(grep -rE --include='*_test.go' --exclude-dir=interop --exclude-dir=examples -o '^func Fuzz\w+\(f \*testing\.F\)' . |
	sed -E 's/:func (Fuzz\w+)\(.*/:\1/' | sort)
[ "$n" -gt 0 ] || { echo "no fuzz target was found" >&2; exit 1; }
