"""redis-py's vector set calls: no real Redis 8 is here to compare with, so what they return is what its page says."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import redis
from redis.commands.vectorset.commands import QuantizationOptions

from tests.peers.redis import Server

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("protocol", [2, 3])
def test_vector_sets(protocol: int, ours: Server) -> None:
    """A call of the client would fail, or return something that it cannot read."""
    with redis.Redis(port=ours.port, protocol=protocol, decode_responses=True) as client:
        client.flushall()
        vectors: Any = client.vset()
        for name, point in {"A": [1.0, 1.0], "B": [-1.0, -1.0], "C": [-1.0, 1.0], "D": [1.0, -1.0]}.items():
            assert vectors.vadd("points", point, name) == 1
        assert vectors.vadd("points", struct.pack("<2f", 1, 0), "E", attributes={"n": 1}, cas=True, ef=50) == 1
        assert client.type("points") == "vectorset"
        assert (vectors.vcard("points"), vectors.vdim("points")) == (5, 2)
        assert vectors.vemb("points", "A") == [0.9999999403953552, 0.9999999403953552]
        raw = vectors.vemb("points", "E", raw=True)
        assert (raw["quantization"], raw["raw"], raw["l2"], raw["range"]) == ("int8", b"\x7f\x00", 1.0, 1.0)
        assert vectors.vsim("points", [0.9, 0.1]) == ["E", "A", "D", "C", "B"]
        scores = vectors.vsim("points", "A", with_scores=True, count=2)
        assert list(scores) == ["A", "E"]
        assert scores["A"] == pytest.approx(1)
        both = vectors.vsim("points", "E", with_scores=True, with_attribs=True, count=1)
        assert both == {"E": {"score": pytest.approx(1), "attributes": {"n": 1}}}
        assert vectors.vsim("points", [1, 0], filter=".n == 1", filter_ef="50", truth=True, no_thread=True) == ["E"]
        assert vectors.vgetattr("points", "E") == {"n": 1}
        assert vectors.vsetattr("points", "A", {"n": 2}) == 1
        assert vectors.vsim("points", "A", filter=".n > 1", epsilon=0.5) == ["A"]
        links = vectors.vlinks("points", "A", with_scores=True)
        assert sorted(links[-1]) == ["B", "C", "D", "E"]
        assert vectors.vinfo("points")["quant-type"] == "int8"
        assert sorted(vectors.vrandmember("points", 9)) == ["A", "B", "C", "D", "E"]
        assert vectors.vrange("points", "[B", "(D") == ["B", "C"]
        digest = client.execute_command("DEBUG", "DIGEST")
        assert client.execute_command("DEBUG", "RELOAD") in ("OK", b"OK")
        assert client.execute_command("DEBUG", "DIGEST") == digest
        assert vectors.vsim("points", "E", with_scores=True, with_attribs=True, count=1) == both
        assert (vectors.vrem("points", "E"), vectors.vrem("points", "E")) == (1, 0)
        for option in QuantizationOptions:
            key = f"k{option.name}"
            assert vectors.vadd(key, [1.0] * 64, "e", reduce_dim=16, quantization=option, numlinks=8) == 1
            assert len(vectors.vemb(key, "e")) == 16
