# Answers lines on standard input with pylsqpack, for lsqpack_test.go. Fields and
# bytes are in hexadecimal; fields are name:value, separated by commas.
import sys

import pylsqpack

encoder = decoder = None


def fields_of(s):
    return [tuple(bytes.fromhex(x) for x in f.split(":")) for f in s.split(",")] if s else []


def text_of(fields):
    return ",".join(n.hex() + ":" + v.hex() for n, v in fields)


def answer(op, args):
    global encoder, decoder
    if op == "new":
        capacity, blocked = int(args[0]), int(args[1])
        encoder, decoder = pylsqpack.Encoder(), pylsqpack.Decoder(capacity, blocked)
        return encoder.apply_settings(capacity, blocked).hex()
    if op == "encode":
        instructions, section = encoder.encode(int(args[0]), fields_of(args[1]))
        return instructions.hex() + " " + section.hex()
    if op == "decoderstream":
        encoder.feed_decoder(bytes.fromhex(args[0]))
        return ""
    if op == "encoderstream":
        try:
            return " ".join(map(str, decoder.feed_encoder(bytes.fromhex(args[0]))))
        except pylsqpack.EncoderStreamError:
            return "error"
    if op == "decode":
        try:
            instructions, fields = decoder.feed_header(int(args[0]), bytes.fromhex(args[1]))
        except pylsqpack.StreamBlocked:
            return "blocked"
        except (pylsqpack.DecompressionFailed, ValueError):
            return "error"
        return instructions.hex() + " " + text_of(fields)
    if op == "resume":
        instructions, fields = decoder.resume_header(int(args[0]))
        return instructions.hex() + " " + text_of(fields)


for line in sys.stdin:
    op, *args = line.rstrip("\n").split(" ")
    print(answer(op, args), flush=True)
