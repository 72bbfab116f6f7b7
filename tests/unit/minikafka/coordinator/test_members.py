"""What decides which broker owns a group, and what a member id looks like."""

import re
from random import Random

import pytest

from minikafka.coordinator.members import java_hash, partition_for, random_uuid, utf16_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What java.lang.String.hashCode says.
        ("", 0),
        ("a", 97),
        ("my-group", -1906497762),
        ("console-consumer-12345", 158455506),
        ("grüße", 98768023),
        ("\U0001f600", 1772899),
        ("polygenelubricants", -2147483648),
    ],
)
def test_java_hash(text: str, expected: int) -> None:
    """Another hash, and a real broker looks for our groups in other partitions than we wrote them to."""
    assert java_hash(text) == expected


def test_partition_of_the_number_without_a_positive() -> None:
    """The group whose hash has no absolute value gets a partition that is not there."""
    assert partition_for("polygenelubricants", 50) == 0
    assert all(0 <= partition_for(f"g{i}", 50) < 50 for i in range(1000))


def test_uuid_is_version_4() -> None:
    """Member ids end in something that is no UUID, or one that repeats."""
    random = Random(1)
    ids = {random_uuid(random) for _ in range(1000)}
    assert len(ids) == 1000
    pattern = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(pattern.fullmatch(each) for each in ids)


def test_sizes_are_counted_as_java_does() -> None:
    """The limit on offset metadata is another one for clients that write beyond the basic plane."""
    assert [utf16_size(text) for text in ("abc", "ü", "\U0001f600")] == [3, 1, 2]
