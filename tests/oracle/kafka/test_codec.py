"""Our codecs beside Kafka's own, byte for byte: every message, every version."""

from __future__ import annotations

import json

import pytest

from tests.peers.kafka import encode_with_java
from tests.unit.protocol.kafka.examples import examples, make, to_json

# Declared here but refused by Kafka's classes: none.
STYLES = ("full", "blank", "mixed")


@pytest.mark.peer
def test_every_message_has_kafkas_bytes() -> None:
    """A message would be misread by real clients, or one of theirs by us, in a version few of them use."""
    asked = list(examples(STYLES))
    made = [make(*one) for one in asked]
    lines = [f"{kind.__name__}\t{version}\t{json.dumps(to_json(message, version))}" for (kind, version, _), message in
             zip(asked, made, strict=True)]  # fmt: skip
    answers = encode_with_java(lines)
    assert len(answers) == len(asked) > 1900
    wrong = []
    for (kind, version, style), message, answer in zip(asked, made, answers, strict=True):
        if answer.startswith("!"):
            wrong.append(f"{kind.__name__} v{version} {style}: Kafka refuses it: {answer[:200]}")
        elif message.encode(version).hex() != answer:
            wrong.append(f"{kind.__name__} v{version} {style}: {message.encode(version).hex()} is not {answer}"[:400])
        elif kind.decode(version, bytes.fromhex(answer)) != message:
            wrong.append(f"{kind.__name__} v{version} {style}: decoded otherwise")
    assert not wrong, "\n".join(wrong[:20])
