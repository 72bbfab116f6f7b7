"""The README says what the code does."""

import re

from tests.house.readme import README, written_anew
from tests.house.sources import ROOT


def test_generated_tables_are_fresh() -> None:
    """A table of commands or APIs that is out of date promises what is not there (make readme writes it anew)."""
    text = README.read_text()
    assert text == written_anew(text)


def test_map_names_existing_files() -> None:
    """A map that points at nothing costs a newcomer more than none."""
    for path in re.findall(r"`((?:minikafka|miniredis|protocol|tests|bench)/[\w./]*)`", README.read_text()):
        assert (ROOT / path).exists(), f"README.md names {path}"
