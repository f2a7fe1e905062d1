"""Decodes field sections without references to the dynamic table, in hex, one a line of the input.

usage: fields.py 'NAME: VALUE'...

It prints the fields, and fails unless each named one is there. tshark 4.0 shows the bytes of HEADERS
frames, not their fields.
"""

import sys

import pylsqpack

found = set()
for line in sys.stdin:
    for section in line.strip().split(","):
        _, fields = pylsqpack.Decoder(0, 0).feed_header(0, bytes.fromhex(section))
        found |= {f"{name.decode()}: {value.decode()}" for name, value in fields}
print(", ".join(sorted(found)))
missing = [want for want in sys.argv[1:] if want not in found]
if missing:
    sys.exit(f"missing: {missing}")
