"""Sums that are not Redis's or Kafka's: their files and payloads would be refused, and ours by them."""

from protocol.checksums import crc32c, crc64, xxh3_64

CHECK = b"123456789"


def test_the_polynomials_are_those_of_the_formats() -> None:
    """Another polynomial, another start, or a final xor."""
    assert crc64(CHECK) == 0xE9C6D914C4B8D9CA  # Redis's own test, src/crc64.c
    assert crc64(b"") == 0
    assert crc32c(CHECK) == 0xE3069283  # RFC 3720
    assert xxh3_64(b"") == 0x2D06800538D394C2


def test_a_sum_goes_on_where_it_was_cut() -> None:
    """A file summed up piece by piece has another sum than at once."""
    data = bytes(range(256)) * 50
    for cut in (0, 1, 7, 255, 4096, len(data)):
        assert crc64(data[cut:], crc64(data[:cut])) == crc64(data)
