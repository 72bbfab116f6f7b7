"""Libraries of functions: FUNCTION keeps them, FCALL runs what they registered.

    FUNCTION LOAD ──► Libraries.load ──► the library's code runs once and registers functions
    FCALL         ──► Scripts.outlast ──► sandbox_of(function) ──► sandbox.run

    payload of FUNCTION DUMP    ┌────┬─────────────┬────┬─────────────┬ … ┬────────┐
                                │ F5 │ code string │ F5 │ code string │   │ footer │    footer: persist/rdb_format.py
                                └────┴─────────────┴────┴─────────────┴ … ┴────────┘

Laws:
1. A library is loaded whole or not at all; no function's name, in whatever case, is used twice.
2. What a library's code keeps (its local variables) lives as long as the interpreter: where that is made anew (a
   function was killed, or memory ran out) each library is loaded again when one of its functions is called.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any, Final

from miniredis.engine.version import VERSION
from miniredis.persist import rdb_format
from miniredis.scripting.shebang import read_library
from protocol.resp.values import Failure, Reply

if TYPE_CHECKING:
    from miniredis.engine.state import State
    from miniredis.scripting.sandbox import Registered

# How long a library may take to register its functions, as in Redis.
LOAD_MAX_S: Final = 0.5
# And all of a payload's together; Redis sets them no limit.
RESTORE_MAX_S: Final = 2.0
# What a library and a function take beside their texts.
LIBRARY_BYTES: Final = 200
FUNCTION_BYTES: Final = 300

_OPCODE: Final = 0xF5
_OPCODE_PRE_GA: Final = 0xF6


class Function:
    """One function: what FCALL finds by its name."""

    __slots__ = ("chunk", "description", "flags", "library", "name", "only_line")
    kill_command = "FUNCTION KILL"

    def __init__(self, library: Library, registered: Registered, only_line: int | None) -> None:
        self.library = library
        self.name = registered.name
        self.description = registered.description
        self.flags = registered.flags
        self.only_line = only_line
        self.chunk: Any = registered.chunk  # of the library's sandbox


class Library:
    """Functions that were loaded together, and the code that registered them."""

    __slots__ = ("code", "functions", "name", "sandbox")

    def __init__(self, name: bytes, code: bytes, sandbox: Any) -> None:
        self.name = name
        self.code = code  # as it was given, first line and all
        self.sandbox = sandbox  # in which its code was run
        self.functions: dict[bytes, Function] = {}

    @property
    def size_bytes(self) -> int:
        texts = [function.name + (function.description or b"") for function in self.functions.values()]
        return LIBRARY_BYTES + len(self.name) + len(self.code) + sum([FUNCTION_BYTES + len(text) for text in texts])


class _Loading:
    """The host of a library's code while it is loaded: it reaches nothing of the server but its log."""

    resp = 2

    def __init__(self, state: State, latest: float = float("inf")) -> None:
        self.state = state
        self.deadline = min(state.clock.monotonic() + LOAD_MAX_S, latest)

    def call(self, argv: list[bytes]) -> Reply:
        return Failure("ERR commands are not for code that is being loaded")

    def may_call(self, argv: list[bytes]) -> bool:
        return False

    def set_targets(self, targets: int) -> None:
        """Nothing is written that anybody could be told of."""

    def log(self, level: int, line: bytes) -> None:
        self.state.log_script(level, line.decode("utf-8", "backslashreplace"))

    def end_reason(self) -> bytes | None:
        return b"ERR FUNCTION LOAD timeout" if self.state.clock.monotonic() > self.deadline else None

    def enter(self) -> None:
        """The loop waits: nobody is to be kept out."""

    leave = enter


class Libraries:
    """The libraries of one server."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.by_name: dict[bytes, Library] = {}
        self.functions: dict[bytes, Function] = {}  # by lower case name
        self.sandbox: Any = None

    @property
    def size_bytes(self) -> int:
        return sum([library.size_bytes for library in self.by_name.values()])

    @property
    def vm_bytes(self) -> int:
        """What the interpreter holds; none is made before the first library comes."""
        return self.sandbox.memory_bytes if self.sandbox is not None else 0

    def load(self, code: bytes, *, replace: bool = False) -> Library:
        """Raises Failure, with nothing changed."""
        library = self._created(code, self.by_name if not replace else {})
        old = self.by_name.get(library.name)
        _look_for_twins(library, self.functions, _names([old] if old is not None else []))
        self._unlink([old] if old is not None else [])
        self._link(library)
        return library

    def delete(self, name: bytes) -> None:
        library = self.by_name.get(name)
        if library is None:
            raise Failure("ERR Library not found")
        self._unlink([library])

    def flush(self, *, is_lazy: bool = False) -> None:
        """Everything is forgotten, the interpreter too."""
        if is_lazy:
            functions = len(self.functions)
            self.state.keyspace.waste.add_whole((self.by_name, self.functions), functions, functions + 1)
        self.by_name = {}
        self.functions = {}
        self._close()

    def _close(self) -> None:
        if self.sandbox is not None:
            self.sandbox.close()
            self.sandbox = None

    def dump(self, *, is_compressed: bool) -> bytes:
        opcode = bytes((_OPCODE,))
        body = b"".join([opcode + rdb_format.string(each.code, is_compressed) for each in self.by_name.values()])
        return rdb_format.sealed(body, rdb_format.COMMON_VERSION)

    def restore(self, payload: bytes, policy: bytes) -> None:
        """`policy`: APPEND, REPLACE or FLUSH. Raises Failure, with nothing changed."""
        body = rdb_format.unsealed(payload)
        if body is None:
            raise Failure("ERR DUMP payload version or checksum are wrong")
        restored: dict[bytes, Library] = {}
        taken: set[bytes] = set()
        latest = self.state.clock.monotonic() + RESTORE_MAX_S
        for code in _codes(body):
            library = self._created(code, restored, latest)
            _look_for_twins(library, taken)
            restored[library.name] = library
            taken |= {name.lower() for name in library.functions}
        if policy == b"FLUSH":
            replaced = list(self.by_name.values())
        else:
            replaced = [self.by_name[name] for name in restored if name in self.by_name]
            if replaced and policy == b"APPEND":
                raise Failure(b"ERR Library %b already exists" % replaced[0].name)
            gone = _names(replaced)
            for library in restored.values():
                _look_for_twins(library, self.functions, gone)
        self._unlink(replaced)
        for library in restored.values():
            self._link(library)

    def sandbox_of(self, function: Function) -> Any:
        """The sandbox in which it can run now. Raises Failure."""
        sandbox = self._ready()
        if function.library.sandbox is not sandbox:
            self._revive(function.library)
        if function.chunk is None:
            raise Failure("ERR Function not found")
        return sandbox

    def _ready(self) -> Any:
        if self.sandbox is None or self.sandbox.is_spent:
            from miniredis.scripting.sandbox import Sandbox  # with the first library: Lua is not loaded before

            self._close()
            self.sandbox = Sandbox(VERSION, self.state.script_random, is_for_libraries=True)
        return self.sandbox

    def _revive(self, library: Library) -> None:
        """Into a new interpreter. Code that ends otherwise than it did (it may ask for the time) has no functions."""
        library.sandbox = self.sandbox
        for function in library.functions.values():
            function.chunk = None
        try:
            found = self.sandbox.load_library(read_library(library.code)[1], _Loading(self.state))
        except Failure:
            return
        for registered in found:
            if registered.name in library.functions:
                library.functions[registered.name].chunk = registered.chunk

    def _created(self, code: bytes, known: dict[bytes, Library], latest: float = float("inf")) -> Library:
        name, body = read_library(code)
        if name in known:
            raise Failure(b"ERR Library '%b' already exists" % name)
        sandbox = self._ready()
        found = sandbox.load_library(body, _Loading(self.state, latest))
        if not found:
            raise Failure("ERR No functions registered")
        library = Library(name, code, sandbox)
        only_line = 2 if body.count(b"\n") == 1 else None
        for registered in found:
            library.functions[registered.name] = Function(library, registered, only_line)
        return library

    def _unlink(self, libraries: list[Library]) -> None:
        for library in libraries:
            del self.by_name[library.name]
            for name in library.functions:
                self.functions.pop(name.lower(), None)

    def _link(self, library: Library) -> None:
        self.by_name[library.name] = library
        for name, function in library.functions.items():
            self.functions.setdefault(name.lower(), function)


def _names(libraries: list[Library]) -> set[bytes]:
    """Of all their functions, in lower case."""
    return {name.lower() for library in libraries for name in library.functions}


def _look_for_twins(library: Library, taken: Container[bytes], gone: Container[bytes] = ()) -> None:
    """Raises Failure where one of its functions is called as another one of those taken and not gone."""
    for name in library.functions:
        if name.lower() in taken and name.lower() not in gone:
            raise Failure(b"ERR Function %b already exists" % name)


def _codes(body: bytes) -> list[bytes]:
    """The libraries in a payload. Raises Failure."""
    reader = rdb_format.Reader(body)
    codes = []
    while reader.left:
        opcode = reader.byte()
        if opcode == _OPCODE_PRE_GA:
            raise Failure("ERR Pre-GA function format not supported")
        if opcode != _OPCODE:
            raise Failure("ERR given type is not a function")
        try:
            codes.append(reader.string())
        except ValueError:
            raise Failure("ERR Failed loading library payload") from None
    return codes
