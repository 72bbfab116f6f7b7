"""Whose server this claims to be."""

from __future__ import annotations

from typing import Final

VERSION: Final = "7.4.1"
