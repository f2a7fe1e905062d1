"""Looks for facts in the logs of connections in a directory, and fails if one is missing or forbidden.

usage: qlog.py DIR FACT...

A FACT must have happened. With a "!" in front it must not have happened:

sent TYPE, received TYPE    a packet: initial, 0RTT, handshake, 1RTT, retry, version_negotiation
sent token                  an Initial packet with a token
sent FRAME, received FRAME  a frame: path_challenge, new_token ...
sent phase 1, received phase 1   a 1-RTT packet with that key phase bit
ecn STATE                   the state of ECN validation: capable, failed
version VERSION             the version that was in use at some time, in hex
lost                        a packet
"""

import json
import pathlib
import sys
from collections import Counter


def read(path):
    """Yields the events of a file. The last line may not be complete."""
    for record in path.read_text().split("\x1e"):
        try:
            event = json.loads(record)
        except json.JSONDecodeError:
            continue
        if "name" in event:
            yield event["name"].split(":")[1], event["data"]


def facts_of(path):
    facts = Counter()
    for name, data in read(path):
        if name in ("packet_sent", "packet_received"):
            way, header = name.removeprefix("packet_"), data["header"]
            facts[f"{way} {header['packet_type']}"] += 1
            if "key_phase_bit" in header:
                facts[f"{way} phase {int(header['key_phase_bit'])}"] += 1
            if header.get("token"):
                facts[f"{way} token"] += 1
            for frame in data.get("frames", []):
                facts[f"{way} {frame['frame_type']}"] += 1
        elif name == "packet_lost":
            facts["lost"] += 1
        elif name == "ecn_state_updated":
            facts[f"ecn {data['new']}"] += 1
        elif name == "version_information":
            facts[f"version {data['chosen_version']}"] += 1
    return facts


def main():
    facts = Counter()
    for path in pathlib.Path(sys.argv[1]).glob("*.sqlog"):
        facts += facts_of(path)
    for want in sys.argv[2:]:
        fact = want.removeprefix("!")
        if (facts[fact] > 0) == want.startswith("!"):
            sys.exit(f"the log shows {facts[fact]} times {fact!r}, against {want!r}: {dict(facts)}")
    print("the log shows", ", ".join(sys.argv[2:]))


main()
