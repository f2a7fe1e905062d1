"""Writes each Go file in Markdown texts to a package of its own, to be built and tested.

usage: snippets.py DIR FILE...
"""

import pathlib
import re
import sys

out, count = pathlib.Path(sys.argv[1]), 0
for name in sys.argv[2:]:
    for block in re.findall(r"^```go\n(.*?)^```", pathlib.Path(name).read_text(), re.S | re.M):
        assert block.startswith("package "), f"{name}: a Go file starts with its package:\n{block}"
        count += 1
        home = out / f"snippet{count}"
        home.mkdir()
        kind = "_test" if "testing.T" in block else ""
        (home / f"snippet{kind}.go").write_text(block)
assert count > 0, "no Go files found"
print(f"{count} Go files from the documentation")
