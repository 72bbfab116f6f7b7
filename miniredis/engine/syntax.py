"""The syntax line of a command: declared once, and arity, key positions and the argument tree read from it.

    SET key value [NX | XX] [GET] [EX seconds:integer | PX milliseconds:integer | KEEPTTL]

    WORD             a literal token; before an argument or a <choice> it is that argument's prefix
    name  name:type  an argument; types: string (assumed), key, integer, double, pattern, unix-time
                     ("key" and "pattern" need no type)
    [ … ]            may be left out          < … >   must be there; groups what it holds
    a | b            one of                   [x ...]  after x: x may be repeated ("key [key ...]")
                                              [x ...]  not after x: any number of x, or none
    name=WORD        a literal token with a name of its own
    WORD= name       the same where the argument leads a group: the token stays its own, and is not the group's
    name=WORD=       so of a token that stands alone
    … @6.2.0         the version that brought the argument or group just before; @-6.2.0: that deprecated it
    name/shown       an argument that people are shown by another word
    group=< … >      the name COMMAND DOCS gives a group (also group=[ … ]) where it is not the first word's

A subcommand's name is glued with Redis' own bar: `CONFIG|GET parameter [parameter ...]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_PIECE = re.compile(r"\s*(\.\.\.|[\[\]<>|]|[^\s\[\]<>|]+)")
_ARGUMENT = re.compile(r"[a-z]")

BLOCK = "block"
ONEOF = "oneof"
PURE_TOKEN = "pure-token"


@dataclass(slots=True)
class Argument:
    """One node of the tree, as COMMAND DOCS shows it."""

    name: str
    type: str
    token: str | None = None
    is_optional: bool = False
    is_multiple: bool = False
    repeats_token: bool = False
    keeps_token: bool = False  # as the first of a group, too
    since: str | None = None  # where younger than its command
    deprecated_since: str | None = None
    display: str = ""  # what people are shown where it is not the name
    arguments: list[Argument] = field(default_factory=list)

    def shown(self) -> str:
        """As the line of a HELP names it."""
        if self.type == PURE_TOKEN:
            text = str(self.token)
        elif self.type == BLOCK:
            text = " ".join([argument.shown() for argument in self.arguments])
        elif self.type == ONEOF:
            text = "|".join([argument.shown() for argument in self.arguments])
        else:
            text = f"<{self.name}>"
        if self.token and self.type != PURE_TOKEN:
            text = f"{self.token} {text}"
        if self.is_multiple:
            text = f"{text} [{text} ...]"
        return f"[{text}]" if self.is_optional else text

    def least_words(self) -> int:
        """How many words of argv this takes at least."""
        if self.is_optional:
            return 0
        if self.type == PURE_TOKEN:
            return 1
        return (1 if self.token else 0) + self._least_inside()

    def _least_inside(self) -> int:
        if self.type == BLOCK:
            return sum(argument.least_words() for argument in self.arguments)
        if self.type == ONEOF:
            return min(argument.least_words() for argument in self.arguments)
        return 1

    def is_fixed(self) -> bool:
        """Whether it always takes the same number of words."""
        if self.is_optional or self.is_multiple:
            return False
        if self.type == ONEOF and len({argument.least_words() for argument in self.arguments}) > 1:
            return False
        return all(argument.is_fixed() for argument in self.arguments)


@dataclass(slots=True)
class KeyPositions:
    """Where keys are: from `first` up to `last` (negative: from the end), or as many as the number at `first` says."""

    first: int
    last: int
    step: int
    is_counted: bool = False


@dataclass(slots=True)
class Syntax:
    """A syntax line, read: what arity, key positions and COMMAND DOCS come from."""

    name: str
    subcommand: str | None
    arguments: list[Argument]

    @property
    def arity(self) -> int:
        """Redis' arity: the exact number of words, or minus the least number."""
        words = (1 if self.subcommand is None else 2) + sum(argument.least_words() for argument in self.arguments)
        return words if all(argument.is_fixed() for argument in self.arguments) else -words

    def key_positions(self) -> list[KeyPositions]:
        """One entry for each key argument, as far as a syntax line can say it."""
        found: list[KeyPositions] = []
        at = 1 if self.subcommand is None else 2
        arguments = self.arguments
        for place, argument in enumerate(arguments):
            if _is_key(argument):
                after = sum(later.least_words() for later in arguments[place + 1 :])
                if not argument.is_multiple:
                    found.append(KeyPositions(at, 0, 1))
                elif place and arguments[place - 1].name == "numkeys":
                    found.append(KeyPositions(at - 1, 0, 1, is_counted=True))
                else:
                    step = len(argument.arguments) or 1
                    found.append(KeyPositions(at, -1 - after, step))
            at += argument.least_words() if not argument.is_optional else 0
        return found


def _is_key(argument: Argument) -> bool:
    if argument.type == BLOCK:
        return _is_key(argument.arguments[0])
    return argument.type == "key"


def parse(line: str) -> Syntax:
    """Read a syntax line. ValueError: not well-formed (a programmer's mistake, met at import)."""
    head, _, rest = line.partition(" ")
    if "|" in head:
        name, subcommand = head.split("|")
    else:
        name, subcommand = head, None
    reader = _Reader(_PIECE.findall(rest))
    alternatives = reader.alternatives("")
    if len(alternatives) != 1:
        raise ValueError(f"a bar outside of brackets: {line}")
    return Syntax(name, subcommand, alternatives[0])


class _Reader:
    """Recursive descent over the pieces of one line."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.at = 0
        self.was_repeated = False  # the bracket closed last ended in "..."

    def peek(self) -> str:
        return self.pieces[self.at] if self.at < len(self.pieces) else ""

    def take(self) -> str:
        piece = self.peek()
        self.at += 1
        return piece

    def alternatives(self, closer: str) -> list[list[Argument]]:
        found = [self.sequence()]
        while self.peek() == "|":
            self.take()
            found.append(self.sequence())
        self.was_repeated = self.peek() == "..."
        if self.was_repeated:
            self.take()
        if self.take() != closer:
            raise ValueError(f"{closer!r} expected in {' '.join(self.pieces)}")
        return found

    def sequence(self) -> list[Argument]:
        arguments: list[Argument] = []
        while True:
            piece = self.peek()
            if piece in ("", "|", "]", ">", "..."):
                return arguments
            if piece.startswith("@-"):
                arguments[-1].deprecated_since = self.take()[2:]
            elif piece.startswith("@"):
                arguments[-1].since = self.take()[1:]
            elif piece.endswith("=") and self.at + 1 < len(self.pieces) and self.pieces[self.at + 1] == "[":
                self.take()
                argument = self.option()
                argument.name = piece[:-1]
                arguments.append(argument)
            elif piece == "[":
                start = self.at
                repeated = self.repetition()
                if not repeated or not _repeat(arguments, repeated):
                    self.at = start
                    arguments.append(self.option())
            else:
                arguments.append(self.one())

    def option(self) -> Argument:
        """What may be left out: a group in brackets."""
        self.take()
        argument = _grouped(self.alternatives("]"))
        argument.is_optional = True
        if self.was_repeated:
            argument.is_multiple = True
            argument.repeats_token = argument.token is not None
        return argument

    def one(self) -> Argument:
        piece = self.take()
        if piece.endswith("=") and self.peek() == "<":
            argument = self.one()
            argument.name = piece[:-1]
            return argument
        if piece == "<":
            return _grouped(self.alternatives(">"))
        if piece.endswith("=") and piece.isupper():
            argument = self.one()
            argument.token = piece[:-1]
            argument.keeps_token = True
            return argument
        if "=" in piece:
            name, _, token = piece.partition("=")
            keeps_token = token.endswith("=") and token != "="  # `equal==` is the sign itself, of XADD
            return Argument(name, PURE_TOKEN, token[:-1] if keeps_token else token, keeps_token=keeps_token)
        if _ARGUMENT.match(piece):
            piece, _, display = piece.partition("/")
            name, _, kind = piece.partition(":")
            return Argument(name, kind or (name if name in ("key", "pattern") else "string"), display=display)
        following = self.peek()
        if following == "<":
            argument = self.one()
            argument.token = piece
            argument.name = piece.lower()
            return argument
        if _ARGUMENT.match(following):
            argument = self.one()
            argument.token = piece
            return argument
        return Argument(piece.strip('"').lower(), PURE_TOKEN, piece.strip('"'))

    def repetition(self) -> list[str]:
        """The pieces inside `[x y ...]`, which repeats what stands before it; nothing when this bracket is another."""
        depth = 0
        for ahead in range(self.at, len(self.pieces)):
            piece = self.pieces[ahead]
            depth += (piece in ("[", "<")) - (piece in ("]", ">"))
            if depth == 0:
                if self.pieces[ahead - 1] != "...":
                    return []
                inside = self.pieces[self.at + 1 : ahead - 1]
                self.at = ahead + 1
                return inside
        raise ValueError(f"unbalanced brackets in {' '.join(self.pieces)}")


def _repeat(arguments: list[Argument], inside: list[str]) -> bool:
    """`key value [key value ...]`: what was read as two arguments is one block that may come again.

    False: what is in the brackets is not what stands before them."""
    shape = _Reader(list(inside)).sequence()
    count = len(shape)
    if [argument.name for argument in arguments[-1].arguments] == [argument.name for argument in shape]:
        arguments[-1].is_multiple = True  # `pair=<key value> [key value ...]`: the block has a name already
        return True
    if [argument.name for argument in arguments[-count:]] != [argument.name for argument in shape]:
        return False
    if count == 1:
        arguments[-1].is_multiple = True
        arguments[-1].repeats_token = shape[0].token is not None
        return True
    block = Argument("data", BLOCK, is_multiple=True, arguments=arguments[-count:])
    del arguments[-count:]
    arguments.append(block)
    return True


def _grouped(alternatives: list[list[Argument]]) -> Argument:
    branches = [_as_one(sequence) for sequence in alternatives]
    if len(branches) == 1:
        return branches[0]
    return Argument("-or-".join(branch.name for branch in branches[:2]), ONEOF, arguments=branches)


def _as_one(sequence: list[Argument]) -> Argument:
    """A sequence inside brackets: the argument itself, or a block; a leading token is then the block's own."""
    if len(sequence) == 1:
        return sequence[0]
    first = sequence[0]
    if first.token is not None and first.type != PURE_TOKEN and not (first.is_optional or first.keeps_token):
        token, first.token = first.token, None
        return Argument(token.lower(), BLOCK, token, arguments=sequence)
    if first.type == PURE_TOKEN and not (first.is_optional or first.keeps_token or sequence[1].is_optional):
        return Argument(first.name, BLOCK, first.token, arguments=sequence[1:])
    return Argument(first.name, BLOCK, arguments=sequence)
