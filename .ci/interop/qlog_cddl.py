"""Checks qlogs against the CDDL of the drafts, with a validator that others wrote.

    pip install cddl-verifier==1.5.3 cbor2
    LAZO_QLOG=DIR go test -count=1 -run QLog ./conn
    python3 qlog_cddl.py DRAFT.cddl... -- DIR/draft_*.sqlog

The drafts (qlog-main-schema, quic-events, h3-events) have their schemas in blocks between ~~~ lines:
their source text serves as DRAFT.cddl. They are not in this repository, because they belong to the IETF.
For draft_*.sqlog the drafts are 14, 13 and 13. For 03_*.sqlog, in version 0.3, they are 05, 04 and 04.

Records that differ only in values are checked once. A record with a member that no schema has must
fail. Otherwise the check proves nothing. The schemas allow frames of any kind. With the drafts of today
only those frames count that they name.
"""

import json
import re
import sys

import cbor2
from cddl_verifier import Validator

# Parts of rule names that are not the capitalized words of the event's name.
WORDS = {"mtu": "MTU", "id": "ID", "alpn": "ALPN", "ecn": "ECN", "udp": "UDP"}
SPACES = {
    "quic": "QUIC", "http3": "HTTP3", "loglevel": "LogLevel", "http": "HTTP", "connectivity": "Connectivity",
    "transport": "Transport", "security": "Security", "recovery": "Recovery",
}
# Events of version 0.3 whose schemas allow any member.
ANY = ("HTTPParametersSet", "HTTPParametersRestored")


def schema(files):
    """Returns the schemas as one text, without duplicates and without the differences of CBOR and JSON."""
    text = "".join(open(f).read() + "\n" for f in files)
    if "~~~" in text:
        text = "\n".join(re.findall(r"~~~ *cddl\n(.*?)~~~", text, re.S))
    if "HTTP3FrameCreated" in text:
        text = re.sub(r"\$(QuicFrame|HTTP3Frame) /= \{\s*\* text => any\s*\}", "", text)
    # The drafts are separate documents, and two of them define Initiator.
    twice = re.compile(r'^Initiator = "local" /\s+"remote"\n', re.M)
    text = twice.sub("", text) + '\nInitiator = "local" / "remote"\n'
    # JSON has one type of number, so 1 may stand for 1.0.
    text = re.sub(r"\bfloat(32|64)\b", "jsonnumber", text) + "jsonnumber = int / float\n"
    # Nothing extends the events here, so a member without a rule is an error.
    return re.sub(r"\s*\* \$\$[a-z0-9-]+-extension\n", "\n", text)


def rule(name):
    space, event = name.split(":")
    return SPACES[space] + "".join(WORDS.get(w, w.capitalize()) for w in event.split("_"))


def shape(v):
    """Returns the shape of a value. Short strings are names, and part of the shape."""
    if isinstance(v, dict):
        return tuple((k, shape(v[k])) for k in v)
    if isinstance(v, list):
        return tuple(dict.fromkeys(shape(e) for e in v))
    if isinstance(v, str) and re.fullmatch("[a-z_]{3,40}", v):
        return v
    return type(v).__name__


def main(args):
    split = args.index("--")
    validator = Validator(schema(args[:split]))
    seen, records, bad = {}, 0, 0

    def valid(root, data):
        return validator.validate(cbor2.dumps(data), root_type=root)

    for file in args[split + 1 :]:
        for i, record in enumerate(open(file).read().split("\x1e")[1:]):
            v = json.loads(record)
            records += 1
            root, data = ("QlogFileSeq", v) if i == 0 else (rule(v["name"]), v["data"])
            key = (root, shape(data))
            if key in seen:
                continue
            result = valid(root, data)
            seen[key] = root
            if not result.valid:
                bad += 1
                print(f"{file}: record {i}: {root}: {[str(d) for d in result.diagnostics]}: {record[:300]}")
            elif root != "QlogFileSeq" and root not in ANY and valid(root, {**data, "no_such_member": 1}).valid:
                sys.exit(f"{root} takes any member: the check proves nothing")
    print(f"{records} records of {len(set(seen.values()))} rules, {len(seen)} of them different, {bad} bad")
    return 1 if bad or not records else 0


sys.exit(main(sys.argv[1:]))
