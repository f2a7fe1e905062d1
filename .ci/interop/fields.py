"""Finds fields in the payloads of HTTP/3 frames.

usage: fields.py 'NAME: VALUE'...

A line of the input has the payloads of a packet in hex, separated by commas. What is no field section
without references to the dynamic table belongs to another frame. It prints the fields, and fails
unless each named one is there. tshark 4.0 shows the bytes of HEADERS frames, not their fields.
"""

import sys

import pylsqpack

found = set()
for line in sys.stdin:
    for section in line.strip().split(","):
        try:
            _, fields = pylsqpack.Decoder(0, 0).feed_header(0, bytes.fromhex(section))
        except pylsqpack.DecompressionFailed:
            continue
        found |= {f"{name.decode()}: {value.decode()}" for name, value in fields}
print(", ".join(sorted(found)))
missing = [want for want in sys.argv[1:] if want not in found]
if missing:
    sys.exit(f"missing: {missing}")
