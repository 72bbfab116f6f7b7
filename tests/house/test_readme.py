"""The README says what the code does."""

import re

from tests.house.readme import README, written_anew
from tests.house.sources import ROOT, modules


def test_generated_tables_are_fresh() -> None:
    """A table of commands or APIs that is out of date promises what is not there (make readme writes it anew)."""
    text = README.read_text()
    assert text == written_anew(text)


def named() -> set[str]:
    """Files and folders that the README names."""
    return set(re.findall(r"`((?:minikafka|miniredis|protocol|tests|bench)/[\w./]*)`", README.read_text()))


def test_map_names_existing_files() -> None:
    """A map that points at nothing costs a newcomer more than none."""
    assert [path for path in named() if not (ROOT / path).exists()] == []


def test_map_leaves_no_room_out() -> None:
    """What the map does not show is found by nobody who does not know of it."""
    files = [str(path.relative_to(ROOT)) for path in modules().values() if path.name != "__init__.py"]
    assert [file for file in files if file not in named() and file.rpartition("/")[0] + "/" not in named()] == []
