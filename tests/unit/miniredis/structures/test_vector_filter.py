"""FILTER expressions of VSIM, by table: what Redis' page and its own tests say of them."""

from __future__ import annotations

import time

import pytest

from miniredis.structures.vector_filter import MAX_STEPS, Filter, FilterError

ALICE = (
    b'{"age": 25, "name": "Alice", "active": true, "retired": false, "scores": [85, 90, 95], "city": "New York",'
    b' "nothing": null, "inner": {"a": [1, "}"], "b": "\\"}"}, "nested": [[1], ["a"]], "empty": "",'
    b' "last-one_2": -1.5e1, "said": "a\\n\\"b\\"", "ten": "10"}'
)

YES = """
.age == 25
.age > 24 and .age < 26
.age >= 25 && .age <= 25
.age < 1 or .age > 20
.age != 26
!(.age == 26)
not .retired
!!.active
not not .active
.active
.scores
.name == "Alice"
.name == 'Alice'
.name != "Bob"
.name in ["Alice", "David"]
.age in [25, 35]
.age in ["25"]
90 in .scores
"lic" in .name
"" in .name
.age + 10 == 35
.age * 2 > 49
.age / 5 == 5
.age % 2 == 1
.age ** 2 == 625
2 ** 3 ** 2 == 512
2 + 3 * 4 == 14
(2 + 3) * 4 == 20
10 - 3 - 2 == 5
-5 + 10 == 5
3 - -2 == 5
.ten == 10
.ten + 1 == 11
.nothing == null
.name != null
!.nothing
!.empty
.last-one_2 == -15
.age/0 > 1e308
1.5e3 == 1500
(.age > 20 and .age < 40) and (.city == "Boston" or .city == "New York")
1
"text"
[]
0 == .name
.retired == 0
""".strip().splitlines()

NO = """
.age == 26
.missing
.missing == "value"
!.missing
.active or .missing
.inner
.inner == 1
.retired
.name in ""
"xyz" in .name
96 in .scores
.name in [1, 2]
null in [1]
"" 
0
.nothing
.age > "Alice" and .age < "Alice"
0/0 == 0/0
""".strip().splitlines()  # noqa: W291

WRONG = """
.age ==
== .age
(.age > 1
.age > 1)
()
.age 25
foo
.age === 1
.age > 1 1
"unfinished
[1, 2
[.age]
[1 2]
1e
1..2
.age and
@
not
""".strip().splitlines()


@pytest.mark.parametrize("expression", YES)
def test_true(expression: str) -> None:
    """Elements that fit would be left out."""
    assert Filter(expression.encode()).accepts(ALICE)


@pytest.mark.parametrize("expression", NO)
def test_false(expression: str) -> None:
    """Elements that do not fit would be found."""
    assert not Filter(expression.encode()).accepts(ALICE)


@pytest.mark.parametrize("expression", [*WRONG, ""])
def test_no_expression(expression: str) -> None:
    """A mistake in an expression would pass for one that nothing fits."""
    with pytest.raises(FilterError):
        Filter(expression.encode())


def test_where_it_was_not_understood() -> None:
    """The error would not say near what the mistake is."""
    with pytest.raises(FilterError) as error:
        Filter(b".age > 1 and @foo")
    assert error.value.at == 13


@pytest.mark.parametrize(
    "attributes",
    [b"", b"not json", b"[1]", b'{"a"', b'{"a":', b'{"a": tru', b'{"b": "x', b'{"b": {"c": 1, "a": 1}',
     b'{"b" 1, "a": 1}', b'{"a": 1e}', b'{"a": ' + b"[" * 100_000,
     b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", b'{"b": ' + b"{" * 100_000],
)  # fmt: skip
def test_attributes_that_are_no_json(attributes: bytes) -> None:
    """Attributes that nobody could read would end the connection of whoever searches."""
    assert not Filter(b".a or !.a").accepts(attributes)


def test_the_first_of_a_name_counts_and_the_rest_is_not_read() -> None:
    """The field would be another than the real server's."""
    assert Filter(b".a == 1").accepts(b'{"a": 1, "a": 2, broken')
    assert Filter(b'.said == "a\n\\"b"').accepts(b'{"said": "a\\n\\\\\\"b"}')


def test_hostile_expressions_end() -> None:
    """One request would keep everybody waiting: long programs, long lists, long texts."""
    start = time.perf_counter()
    with pytest.raises(FilterError):
        Filter(b"!" * MAX_STEPS + b"1")
    with pytest.raises(FilterError):
        Filter(b"(" * 60_000)
    with pytest.raises(FilterError):
        Filter(b"1 " * 100_000)
    many = Filter(b".a in [" + b",".join([b"%d" % number for number in range(12_000)]) + b"]")
    for _ in range(1000):
        assert not many.accepts(b'{"a": -1}')
    assert not Filter(b".b").accepts(b'{"a": "' + b"\\x" * 100_000 + b'"}')
    assert time.perf_counter() - start < 1
