"""redis.conf: read as redis-server reads it, answered and changed as CONFIG GET and CONFIG SET do.

    miniredis [redis.conf] [--directive value …] [-]

Directives of the command line are lines appended to the file, so the last one wins. A directive and its words may come
glued in one argument (`--port 6380` as one word), `-` first or last reads more lines from standard input.

Law: the table of directives is `directives`; this module is the only one that knows their text. Everybody else gets a
frozen `Settings`, or the few values the wiring hands down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from fnmatch import fnmatchcase
from typing import Any, Final

from miniredis.config_rewrite import rewrite
from miniredis.directives import (
    DEPRECATED,
    FIXED,
    HIDDEN,
    MANY_WORDS,
    NOT_LOADING,
    OPTIONS,
    OWN_OPTIONS,
    PROTECTED,
    Kind,
    Option,
)
from miniredis.engine.settings import Settings
from miniredis.engine.version import VERSION
from miniredis.structures.glob import matches
from miniredis.values import Invalid, read_value, show_value
from protocol.resp.inline import Unbalanced, split_arguments
from protocol.resp.values import Failure

VERSION_LINE: Final = f"Redis server v={VERSION} sha=00000000:0 malloc=libc bits=64 build=0"

HZ_BOUNDS: Final = (1, 500)  # beyond them hz is silently moved to the nearer one
MAX_INCLUDES: Final = 64  # a file that includes itself ends here

_CLASSES: Final = {"output_limit_normal": 0, "output_limit_replica": 1, "output_limit_pubsub": 2}

Apply = Callable[[Any], str | None]
"""Puts a changed value into effect; returns why it cannot, if it cannot."""


class ConfigError(Exception):
    """The server cannot start with this configuration; the text is what redis-server would print."""


class CommandLine:
    """What `sys.argv` asks for: a file, standard input, and directives as lines of text."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.file = ""
        self.reads_stdin = False
        lines: list[str] = []
        rest = list(arguments)
        if rest and not rest[0].startswith("-"):
            self.file = rest.pop(0)
        complete = True  # the last directive has its words
        for at, word in enumerate(rest):
            is_last = at == len(rest) - 1
            if word == "-" and (is_last or (at == 0 and not self.file)):
                self.reads_stdin = True
            elif complete and word.startswith("--"):
                lines.append(word[2:] + " ")
                complete = len(_words(word)) != 1
                if not complete and (is_last or rest[at + 1].startswith("--")):
                    value = {"--save": '""', "--exit-with-parent": "yes"}.get(word.lower())
                    if value is not None:
                        lines[-1] += value
                        complete = True
            else:
                if not lines:
                    lines.append("")
                lines[-1] += quoted(word) + " "
                complete = True
        self.options = "\n".join(lines)


def _words(text: str) -> list[bytes]:
    try:
        return split_arguments(text.encode("utf-8", "surrogateescape"))
    except Unbalanced:
        return []


def quoted(text: str) -> str:
    """A word in double quotes, such that `split_arguments` gives it back."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}
    shown = [
        escapes.get(chr(byte)) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in text.encode("utf-8", "surrogateescape")
    ]
    return '"' + "".join(shown) + '"'


class Config:
    """The values of all directives.

    `read_file` and `list_directory` reach the disk for the configuration file and its includes, `is_directory` checks
    the `dir` directive; the wiring sets `changed` and fills `apply` with what has to happen beyond new Settings.
    """

    def __init__(
        self,
        *,
        read_file: Callable[[str], bytes],
        list_directory: Callable[[str], list[str]],
        is_directory: Callable[[str], bool],
        directory: str,
    ) -> None:
        self._read_file = read_file
        self._list_directory = list_directory
        self._is_directory = is_directory
        self.options: dict[str, Option] = {}
        self.values: dict[str, Any] = {}
        for option in (*OPTIONS, *OWN_OPTIONS):
            self.options[option.name] = option
            self.values[option.name] = read_value(option, _default_words(option), None)
        self.values["dir"] = directory
        self.aliases = {option.alias: option for option in OPTIONS if option.alias}
        self.file = ""  # the configuration file, if any
        self.ignored: list[str] = []  # directives given a value that nothing here reads
        self.apply: dict[str, Apply] = {}
        self.changed: Callable[[Settings], None] = lambda settings: None
        self.write_file: Callable[[str, bytes], None] = lambda path, text: None  # whole or not at all
        self._includes = 0
        self._has_save = False

    # ── at start ───────────────────────────────────────────────────────────────────────────────────────

    def load(self, line: CommandLine, stdin: Callable[[], bytes]) -> None:
        """Read what the command line asks for. Raises ConfigError."""
        text = self._file_text(line.file) if line.file else b""
        self.file = line.file
        if line.reads_stdin:
            text += stdin()
        text += b"\n" + line.options.encode("utf-8", "surrogateescape")
        self._load_text(text)

    def _file_text(self, path: str) -> bytes:
        if any(mark in path for mark in "*?["):
            folder, _, pattern = path.rpartition("/")
            try:
                names = sorted(self._list_directory(folder or ("/" if path.startswith("/") else ".")))
            except OSError:
                names = []
            found = [name for name in names if fnmatchcase(name, pattern)]
            return b"".join(self._file_text(f"{folder}/{name}" if folder else name) for name in found)
        try:
            return self._read_file(path)
        except OSError as error:
            raise ConfigError(f"Fatal error, can't open config file '{path}': {error.strerror}") from None

    def _load_text(self, text: bytes) -> None:
        for number, raw in enumerate(text.split(b"\n"), 1):
            line = raw.strip(b" \t\r\n")
            if not line or line.startswith(b"#"):
                continue
            try:
                self._load_line(line)
            except Invalid as error:
                raise ConfigError(
                    f"\n*** FATAL CONFIG FILE ERROR (Redis {VERSION}) ***\n"
                    f"Reading the configuration file, at line {number}\n"
                    f">>> '{line.decode('utf-8', 'replace')}'\n{error}"
                ) from None

    def _load_line(self, line: bytes) -> None:
        try:
            words = [word.decode("utf-8", "surrogateescape") for word in split_arguments(line)]
        except Unbalanced:
            raise Invalid("Unbalanced quotes in configuration line") from None
        name = words[0].lower()
        option = self.find(name)
        if option is not None:
            self._load_option(option, words[1:])
        elif DEPRECATED.get(name) == len(words):
            pass
        elif name == "include" and len(words) == 2:
            self._includes += 1
            if self._includes > MAX_INCLUDES:
                raise Invalid("Too many include directives: does a file include itself?")
            self._load_text(self._file_text(words[1]))
        else:
            raise Invalid("Bad directive or wrong number of arguments")

    def _load_option(self, option: Option, words: list[str]) -> None:
        if option.kind in MANY_WORDS:
            if len(words) == 1 and words[0]:
                words = [word.decode("utf-8", "surrogateescape") for word in _words(words[0])]
        elif len(words) != 1:
            raise Invalid("wrong number of arguments")
        # Several `save` lines add up; the first one replaces the default.
        before = self.values[option.name]
        if option.kind is Kind.SAVE and not self._has_save:
            before = ()
        value = self._checked(option, words, before)
        if option.kind is Kind.SAVE:
            self._has_save = True
            value = before + value if value else ()
        if not option.is_read and value != self.values[option.name]:
            self.ignored.append(option.name)
            return
        self.values[option.name] = value

    # ── CONFIG GET and SET ─────────────────────────────────────────────────────────────────────────────

    def find(self, name: str) -> Option | None:
        name = name.lower()
        return self.options.get(name) or self.aliases.get(name)

    def shown(self, option: Option) -> bytes:
        """The value as CONFIG GET answers it."""
        return show_value(option, self.values[option.name]).encode("utf-8", "surrogateescape")

    def get(self, patterns: Sequence[bytes]) -> dict[bytes, bytes]:
        """CONFIG GET: every directive that one of the patterns names, under the name it was found by."""
        found: dict[bytes, bytes] = {}
        for pattern in patterns:
            if not any(mark in pattern for mark in (b"*", b"?", b"[")):
                option = self.find(pattern.decode("utf-8", "surrogateescape"))
                if option is not None and not any(name.lower() == pattern.lower() for name in found):
                    found[pattern] = self.shown(option)
                continue
            for name, option in self._by_any_name():
                key = name.encode()
                if not option.flags & HIDDEN and key not in found and matches(pattern.lower(), key):
                    found[key] = self.shown(option)
        return found

    def _by_any_name(self) -> list[tuple[str, Option]]:
        names = [(option.name, option) for option in OPTIONS]
        return sorted(names + list(self.aliases.items()))

    def set(self, words: Sequence[bytes], *, allows_protected: bool, is_loading: bool = False) -> None:
        """CONFIG SET name value …: all of them or none. Raises Failure with Redis's texts."""
        if not words or len(words) % 2:
            raise Failure("ERR syntax error")
        if is_loading:
            options = [self.find(word.decode("utf-8", "surrogateescape")) for word in words[::2]]
            if any(option is not None and option.flags & NOT_LOADING for option in options):
                raise Failure("LOADING Redis is loading the dataset in memory")
        chosen = self._choose([word.decode("utf-8", "surrogateescape") for word in words[::2]], allows_protected)
        before = {option.name: self.values[option.name] for option in chosen}
        after: dict[str, Any] = {}
        for option, word in zip(chosen, words[1::2], strict=True):
            text = word.decode("utf-8", "surrogateescape")
            try:
                after[option.name] = self._checked(
                    option, text.split(" ") if option.kind in MANY_WORDS else [text], before[option.name]
                )
            except Invalid as error:
                raise _refused(option.name, str(error)) from None
            if not option.is_read and after[option.name] != before[option.name]:
                raise _refused(option.name, "this server has nothing that reads it")
        self.values.update(after)
        self.changed(self.settings())
        for option in chosen:
            problem = self._put_into_effect(option.name, before)
            if problem:
                self.values.update(before)
                self.changed(self.settings())
                for name in before:
                    self._put_into_effect(name, after)
                raise _refused(option.name, problem)

    def rewrite(self) -> None:
        """CONFIG REWRITE: put what holds now into the file. Raises OSError."""
        assert self.file
        try:
            text = self._read_file(self.file).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            text = ""
        text = rewrite(text, self.options, self.values, self.find, quoted)
        self.write_file(self.file, text.encode("utf-8", "surrogateescape"))

    def _choose(self, names: list[str], allows_protected: bool) -> list[Option]:
        chosen: list[Option] = []
        for name in names:
            option = self.find(name)
            if option is None or option in OWN_OPTIONS:
                text = f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
                raise Failure(text.encode("utf-8", "surrogateescape"))
            if option.flags & FIXED:
                raise _refused(name, "can't set immutable config")
            if option.flags & PROTECTED and not allows_protected:
                raise _refused(name, "can't set protected config")
            if option in chosen:
                raise _refused(name, "duplicate parameter")
            chosen.append(option)
        return chosen

    def _put_into_effect(self, name: str, before: dict[str, Any]) -> str | None:
        apply = self.apply.get(name)
        if apply is None or self.values[name] == before[name]:
            return None
        return apply(self.values[name])

    def _checked(self, option: Option, words: list[str], before: Any) -> Any:
        value = read_value(option, words, before)
        if option.name == "hz":
            return min(max(value, HZ_BOUNDS[0]), HZ_BOUNDS[1])
        if option.name == "dbfilename" and ("/" in value or "\\" in value):
            raise Invalid("dbfilename can't be a path, just a filename")
        if option.kind is Kind.DIRECTORY:
            path = value if value.startswith("/") else f"{self.values['dir']}/{value}"
            if not self._is_directory(path):
                raise Invalid("No such file or directory")
            return path.rstrip("/") or "/"
        return value

    # ── for the wiring ─────────────────────────────────────────────────────────────────────────────────

    def __getitem__(self, name: str) -> Any:
        """The value of a directive, typed: bool, int, str, tuple."""
        return self.values[name]

    def settings(self) -> Settings:
        """What commands and sessions read."""
        values = self.values
        found: dict[str, Any] = {}
        for field in fields(Settings):
            if field.name in _CLASSES:
                found[field.name] = values["client-output-buffer-limit"][_CLASSES[field.name]]
            else:
                found[field.name] = values[field.name.replace("_", "-")]
        return Settings(**found)


def _default_words(option: Option) -> list[str]:
    return option.default.split(" ") if option.kind in MANY_WORDS else [option.default]


def _refused(name: str, reason: str) -> Failure:
    text = f"ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
    return Failure(text.encode("utf-8", "surrogateescape"))
