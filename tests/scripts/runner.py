"""Golden stories: what a pure machine is told, and what it answers, as text that reads like a play.

    # Why this scene is here.
    join a                      ← commands, one a line
    wait 3
    ---
    a <- generation=1 …         ← all that came of them, in order
                                ← an empty line ends the scene

A story runs from top to bottom on one machine. `GOLDEN=write pytest tests/scripts` writes what the machine
really answered into the files: read the difference before you commit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Stage(Protocol):
    """What plays a story: takes one command, returns the lines that came of it."""

    def play(self, words: list[str]) -> list[str]: ...


class Scene:
    """Comments, commands and the lines they are to bring about."""

    def __init__(self) -> None:
        self.comments: list[str] = []
        self.commands: list[str] = []
        self.expected: list[str] = []

    def text(self, lines: list[str]) -> str:
        return "\n".join([*self.comments, *self.commands, "---", *lines])


def scenes(text: str) -> Iterator[Scene]:
    for block in text.strip().split("\n\n"):
        scene = Scene()
        is_answer = False
        for line in block.splitlines():
            if line == "---":
                is_answer = True
            elif is_answer:
                scene.expected.append(line)
            elif line.startswith("#"):
                scene.comments.append(line)
            else:
                scene.commands.append(line)
        yield scene


def run(path: Path, stage: Stage, *, rewrite: bool) -> None:
    """Play a story; raises AssertionError at the first scene that goes another way."""
    played = []
    for scene in scenes(path.read_text()):
        lines: list[str] = []
        for command in scene.commands:
            lines.extend(stage.play(command.split()))
        played.append(scene.text(lines))
        if not rewrite:
            assert lines == scene.expected, f"{path.name}: after\n  " + "\n  ".join(scene.comments + scene.commands)
    if rewrite:
        path.write_text("\n\n".join(played) + "\n")
