r"""Scripts played to a real redis-server and to ours: the same commands, the same reply bytes, in RESP2 and RESP3.

A script is a text file in `scripts/`. A line is a command as redis-cli takes it (quotes, \xHH, \n); no replies are
written down, the real server gives them. `#` starts a comment line.

    SET k "a b\x00"
    [unordered] SMEMBERS s

Every script starts on an empty server, on a fresh connection called `main`, and its CONFIG SETs are undone after it.

What may stand in brackets before a command (several, separated by `;`):

    [unordered]      arrays, sets and maps are compared without their order, at every depth
    [unordered 2]    the same, and a flat array (RESP2's form of a map) is taken two by two
    [approx N]       numbers may differ by N (TTL of what was just set …)
    [shape]          same types and lengths, any values (TIME, RANDOMKEY, CLIENT ID …)
    [digits]         runs of digits count as equal (MONITOR's times and ports)
    [type]           only the kind of the reply counts (an array, an integer, …)
    [names]          of `name:value` and `name=value` text only the names, in order (INFO, CLIENT LIST)
    [payload]        DUMP: all but the footer, where 7.4.1 claims a newer version of the format than the value needs
    [replies N]      the command has N replies (SUBSCRIBE a b; 0 after CLIENT REPLY OFF)
    [resp 2]         only in RESP2 (or 3)
    [raw]            the line is one quoted string, sent as it is
    [closes]         the server closes the connection after the reply: all bytes until then are compared
    [7.4]            Redis 7.4.1 answers otherwise than the 7.0.15 of Debian: compared with the reply recorded in
                     tests/golden/redis-7.4.1/<script>.json

Other connections, for what blocks or listens (they open at their first use):

    b: SUBSCRIBE ch      a command on connection b, answered at once
    b! BLPOP k 0         a command on connection b that blocks: go on when the server has it waiting
    b<                   now read the reply that b is owed (b< 2: two of them); brackets before it as above
    b.                   close connection b, and wait until the server has noticed

`{b.id}` and `{b.addr}` in a command stand for the client id and address of a connection, `{port}` for the server's.
Lines for the runner itself:

    @sleep 30            milliseconds, for what is about time passing
    @since 7.4           everything in this script is new in 7.4: as if every line had [7.4] (first line of the file)
    @since 8.0           the same of 8.0: compared with what 8.0.2 answers, and played to no older server
    @server --x y        the script needs servers of its own with these directives (first lines of the file)

At the end every connection is sent a PING, and whatever arrives before its answer is compared as well.
Where REDIS_SERVER_74 names a built 7.4.1, scripts are played to it too and must agree everywhere; REDIS_SERVER_80 names
an 8.0.2 for the scripts that are `@since 8.0`. Recording (a script asks for the server of its version):

    REDIS_SERVER_74=/path/redis-server REDIS_SERVER_80=… python -m tests.oracle.redis.runner --record [script …]
    python -m tests.oracle.redis.runner script …              plays and prints the differences
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from protocol.resp.inline import split_arguments
from tests.peers.redis import Link, Server, our_server, real_server, request, server_74, server_80

SCRIPTS = Path(__file__).parent / "scripts"
_GOLDEN = Path(__file__).parents[2] / "golden"
GOLDEN = {"7.4": _GOLDEN / "redis-7.4.1", "8.0": _GOLDEN / "redis-8.0.2"}
BLOCK_DEADLINE_S = 30.0  # for a blocking command to be seen waiting

_LINE = re.compile(
    r"(?:\[(?P<options>[^\]]*)\]\s*)?(?:(?P<name>[a-z][a-z0-9]*)(?P<mark>[:!<.])(?:\s+|$))?(?P<rest>.*)", re.S
)
_OPTIONS = {
    "unordered", "approx", "digits", "shape", "type", "names", "payload", "replies", "resp", "raw", "closes",
    "7.4", "8.0",
}  # fmt: skip


@dataclass
class Step:
    """One line of a script."""

    number: int
    text: str
    rest: str
    connection: str = "main"
    mark: str = ":"
    options: dict[str, str] = field(default_factory=dict)

    @property
    def replies(self) -> int:
        if self.mark == "!" or self.mark == ".":
            return 0
        if self.mark == "<":
            return int(self.rest or 1)
        return int(self.options.get("replies", 1))

    @property
    def argv(self) -> list[bytes]:
        return split_arguments(self.rest.encode("utf-8", "surrogateescape"))


@dataclass
class Script:
    name: str
    steps: list[Step]
    directives: list[str] = field(default_factory=list)
    since: str = ""  # the version that all of it is new in

    @property
    def golden(self) -> Path:
        """Where the replies to it are that Debian's server would not give."""
        return GOLDEN[self.since or "7.4"] / f"{self.name}.json"

    def commands(self) -> Iterator[list[bytes]]:
        """Every command the script plays."""
        for step in self.steps:
            if step.mark in ":!" and "raw" not in step.options and not step.text.startswith("@"):
                yield step.argv


def load(path: Path) -> Script:
    script = Script(path.stem, [])
    for number, text in enumerate(path.read_text("utf-8", "surrogateescape").splitlines(), 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("@server"):
            script.directives += shlex.split(line)[1:]
        elif line.startswith("@since"):
            script.since = line.split()[1]
            if script.since not in GOLDEN:
                raise ValueError(f"{script.name}:{number}: no version {script.since}")
        elif line.startswith("@"):
            script.steps.append(Step(number, line, line))
        else:
            script.steps.append(_step(number, line, script))
    return script


def _step(number: int, line: str, script: Script) -> Step:
    match = _LINE.fullmatch(line)
    assert match is not None
    options: dict[str, str] = {}
    for option in filter(None, (match["options"] or "").split(";")):
        name, _, value = option.strip().partition(" ")
        if name not in _OPTIONS:
            raise ValueError(f"{script.name}:{number}: no such option [{name}]")
        options[name] = value
    if script.since:
        options[script.since] = ""
    return Step(number, line, match["rest"], match["name"] or "main", match["mark"] or ":", options)


def scripts() -> list[Script]:
    return [load(path) for path in sorted(SCRIPTS.glob("*.txt"))]


# ── playing ────────────────────────────────────────────────────────────────────────────────────────────


class Player:
    """Plays a script to one server; `replies` then holds (step, reply bytes) in order."""

    def __init__(self, server: Server, proto: int) -> None:
        self.server = server
        self.proto = proto
        self.links: dict[str, Link] = {}
        self.facts: dict[str, str] = {"port": str(server.port)}
        self.replies: list[tuple[Step, bytes]] = []
        self.owed: list[Step] = []  # sent to main, not read yet
        self.control = Link(server.port)

    def play(self, script: Script) -> list[tuple[Step, bytes]]:
        self.control.command("FLUSHALL")
        self.control.command("FUNCTION", "FLUSH")
        self.control.command("SELECT", "0")
        # A child of the script before may still be at work, or its end unseen until the server's next tick: SAVE would
        # be refused.
        self._wait(Step(0, "INFO persistence", "", "main"), self._has_no_child)
        config = self._config()
        try:
            batch: list[bytes] = []
            for step in script.steps:
                if step.options.get("resp", str(self.proto)) != str(self.proto):
                    continue
                if step.connection == "main" and step.mark == ":" and not step.text.startswith("@"):
                    self._link("main")
                    batch.append(self._bytes(step))
                    self.owed.append(step)
                    # Enough for the speed of a pipeline, too little to fill both sockets' buffers.
                    if "closes" in step.options or len(batch) >= 50:
                        self._settle(batch)
                    continue
                self._settle(batch)
                self._alone(step)
            self._settle(batch)
            self._last_words()
        finally:
            for link in self.links.values():
                link.close()
            self._restore(config)
            self.control.close()
        return self.replies

    def _bytes(self, step: Step) -> bytes:
        if "raw" in step.options:
            return b"".join(step.argv)
        rest = re.sub(r"\{([a-z0-9.]+)\}", lambda match: self._fact(match[1]), step.rest)
        return request(split_arguments(rest.encode("utf-8", "surrogateescape")))

    def _fact(self, name: str) -> str:
        if name not in self.facts:
            self._link(name.split(".")[0])
        return self.facts.get(name, "{" + name + "}")

    def _link(self, name: str) -> Link:
        link = self.links.get(name)
        if link is None:
            link = self.links[name] = Link(self.server.port)
            address = link.socket.getsockname()
            self.facts[name + ".addr"] = f"{address[0]}:{address[1]}"
            self.facts[name + ".id"] = link.command("CLIENT", "ID")[1:-2].decode("latin-1")
            if self.proto == 3:
                link.command("HELLO", "3")
        return link

    def _settle(self, batch: list[bytes]) -> None:
        """Send what was gathered for main and read its replies."""
        if batch:
            with suppress(ConnectionError):
                self.links["main"].send(b"".join(batch))
        batch.clear()
        owed, self.owed = self.owed, []
        for step in owed:
            self._read(step, self.links["main"])

    def _read(self, step: Step, link: Link) -> None:
        if "closes" in step.options:
            self.replies.append((step, link.to_the_end()))
            self._drop(step.connection)
            return
        for _ in range(step.replies):
            try:
                reply = link.reply()
            except (TimeoutError, EOFError, ConnectionError) as error:
                reply = f"!! {type(error).__name__}: {error}".encode()
            self.replies.append((step, reply))
            if reply.startswith(b"!!"):
                break

    def _drop(self, name: str) -> None:
        self.links.pop(name).close()
        self.facts.pop(name + ".id", None)
        self.facts.pop(name + ".addr", None)

    def _alone(self, step: Step) -> None:
        """A step that is no plain command on main."""
        if step.text.startswith("@sleep"):
            time.sleep(float(step.text.split()[1]) / 1000)
            return
        assert not step.text.startswith("@"), f"unknown line {step.text}"
        if step.mark == ".":
            gone = self.facts.get(step.connection + ".id", "")
            self._drop(step.connection)
            self._wait(step, lambda: gone.encode() not in self._clients(gone))
            return
        link = self._link(step.connection)
        if step.mark in ":!":
            link.send(self._bytes(step))
        if step.mark == "!":
            number = self.facts[step.connection + ".id"]
            self._wait(step, lambda: b"b" in (re.search(rb" flags=(\S+)", self._clients(number)) or [b"", b""])[1])
        else:
            self._read(step, link)

    def _clients(self, number: str) -> bytes:
        return self.control.command("CLIENT", "LIST", "ID", number)

    def _has_no_child(self) -> bool:
        return b"_in_progress:1" not in self.control.command("INFO", "persistence")

    def _wait(self, step: Step, condition: object) -> None:
        deadline = time.monotonic() + BLOCK_DEADLINE_S
        while time.monotonic() < deadline:
            if condition():  # type: ignore[operator]
                return
            time.sleep(0.002)
        raise TimeoutError(f"not within {BLOCK_DEADLINE_S:.0f} s: {step.text}")

    def _last_words(self) -> None:
        for name, link in self.links.items():
            mark = Step(0, f"(the end, on {name})", "", name)
            try:
                link.send(request([b"PING", b"the-end"]))
                while True:
                    reply = link.reply()
                    self.replies.append((mark, reply))
                    if b"the-end" in reply or reply.startswith((b"-", b"+QUEUED")):
                        break
            except (TimeoutError, EOFError, ConnectionError) as error:
                self.replies.append((mark, type(error).__name__.encode()))

    def _config(self) -> dict[bytes, bytes]:
        words = elements(self.control.command("CONFIG", "GET", "*"))
        texts = [word.split(b"\r\n", 1)[1][:-2] if word[:1] == b"$" else word for word in words]
        return dict(zip(texts[::2], texts[1::2], strict=False))

    def _restore(self, config: dict[bytes, bytes]) -> None:
        self.control.command("CLIENT", "UNPAUSE")
        for name, value in self._config().items():
            if config.get(name, value) != value:
                self.control.command("CONFIG", "SET", name, config[name])


# ── comparing ──────────────────────────────────────────────────────────────────────────────────────────


def elements(reply: bytes) -> list[bytes]:
    """The raw elements of an aggregate."""
    from tests.peers.redis import reply_end

    found: list[bytes] = []
    position = reply.find(b"\r\n") + 2
    while 0 < position < len(reply):
        end = reply_end(reply, position)
        if end < 0:
            break
        found.append(reply[position:end])
        position = end
    return found


def _is_aggregate(reply: bytes) -> bool:
    return reply[:1] in (b"*", b"~", b">", b"%")


def _unordered(reply: bytes, step: int) -> object:
    if not _is_aggregate(reply):
        return reply
    found = [_unordered(element, step) for element in elements(reply)]
    grouped = 2 if reply[:1] == b"%" or (step == 2 and all(isinstance(item, bytes) for item in found)) else 1
    groups = [tuple(found[index : index + grouped]) for index in range(0, len(found), grouped)]
    return reply[:1], sorted(groups, key=repr)


def _shape(reply: bytes) -> object:
    if _is_aggregate(reply):
        return reply[:1], [_shape(element) for element in elements(reply)]
    return b"$-1" if reply.startswith(b"$-1") else reply[:1]


def _names(reply: bytes) -> list[bytes]:
    return re.findall(rb"(?:^|[\s:])([\w.#-]+)[=:]", reply)


def _number(reply: bytes) -> float | None:
    text = reply.split(b"\r\n")[1] if reply[:1] == b"$" else reply[1:].strip()
    try:
        return float(text)
    except ValueError:
        return None


def _near(left: bytes, right: bytes, bound: float) -> bool:
    if _is_aggregate(left):
        ours, theirs = elements(left), elements(right)
        same = left[:1] == right[:1] and len(ours) == len(theirs)
        return same and all(_near(one, other, bound) for one, other in zip(ours, theirs, strict=True))
    one, other = _number(left), _number(right)
    if left == right:
        return True
    return left[:1] == right[:1] and one is not None and other is not None and abs(one - other) <= bound


def agree(step: Step, ours: bytes, theirs: bytes) -> bool:
    options = step.options
    if "type" in options:
        return ours[:1] == theirs[:1]
    if "shape" in options:
        return _shape(ours) == _shape(theirs)
    if "digits" in options:
        return re.sub(rb"\d+", b"0", ours) == re.sub(rb"\d+", b"0", theirs)
    if "names" in options:
        return _names(ours) == _names(theirs)
    if "payload" in options:
        return ours.split(b"\r\n", 1)[-1][:-12] == theirs.split(b"\r\n", 1)[-1][:-12]
    if "approx" in options:
        return _near(ours, theirs, float(options["approx"] or 1))
    if "unordered" in options:
        group = int(options["unordered"] or 1)
        return _unordered(ours, group) == _unordered(theirs, group)
    return ours == theirs


def recorded(script: Script, proto: int) -> dict[str, list[str]]:
    """The newer server's replies to the lines marked with its version: line text → its replies, in order."""
    if not script.golden.exists():
        return {}
    found: dict[str, list[str]] = json.loads(script.golden.read_text())[str(proto)]
    return found


def differences(script: Script, proto: int, ours: Server, theirs: Server, *, version: str) -> list[str]:
    """What our replies have that theirs have not, one text per line of the script. `version`: theirs, "" Debian's."""
    our_replies = Player(ours, proto).play(script)
    their_replies = Player(theirs, proto).play(script) if version >= script.since else our_replies
    wanted = script.since or "7.4"
    golden = {text: list(replies) for text, replies in recorded(script, proto).items()}
    found: list[str] = []
    where = f"{script.name}.txt RESP{proto}"
    for (step, mine), (other_step, other) in zip(our_replies, their_replies, strict=False):
        if step is not other_step and step.text != other_step.text:
            found.append(f"{where}: out of step at line {step.number} {step.text} / {other_step.text}")
            break
        expected = other
        if wanted in step.options and version < wanted:
            if not golden.get(step.text):
                found.append(f"{where}:{step.number} {step.text}\n    has no reply recorded from {wanted}")
                continue
            expected = golden[step.text].pop(0).encode("latin-1")
        if not agree(step, mine, expected):
            found.append(f"{where}:{step.number} {step.text}\n    theirs {expected[:600]!r}\n    ours   {mine[:600]!r}")
        if mine.startswith(b"!!") and not expected.startswith(b"!!"):
            break
    if not found and len(our_replies) != len(their_replies):
        found.append(f"{where}: {len(our_replies)} replies instead of {len(their_replies)}")
    return found


def record(script: Script) -> None:
    """Write down what 7.4.1 answers to the lines marked [7.4], or 8.0.2 to a script that is all new in 8.0."""
    wanted = script.since or "7.4"
    kept: dict[str, dict[str, list[str]]] = {}
    for proto in (2, 3):
        server = (server_80 if wanted == "8.0" else server_74)(*script.directives)
        assert server is not None, f"REDIS_SERVER_{wanted.replace('.', '')} names no redis-server"
        replies: dict[str, list[str]] = {}
        with server:
            for step, reply in Player(server, proto).play(script):
                if wanted in step.options:
                    replies.setdefault(step.text, []).append(reply.decode("latin-1"))
        kept[str(proto)] = replies
    if any(kept.values()):
        script.golden.parent.mkdir(parents=True, exist_ok=True)
        script.golden.write_text(json.dumps(kept, indent=1) + "\n")


def main(arguments: list[str]) -> int:
    wanted = [Path(word).stem for word in arguments if not word.startswith("--")]
    chosen = [script for script in scripts() if not wanted or script.name in wanted]
    if "--record" in arguments:
        for script in chosen:
            record(script)
        return 0
    count = 0
    for script in chosen:
        with our_server(*script.directives) as ours:
            peers = [(real_server(*script.directives), "")]
            newer = (server_80 if script.since == "8.0" else server_74)(*script.directives)
            if newer is not None:
                peers.append((newer, script.since or "7.4"))
            for peer, version in peers:
                with peer:
                    for proto in (2, 3):
                        found = differences(script, proto, ours, peer, version=version)
                        count += len(found)
                        if found:
                            print(f"against {version or 'Debian'}:")
                            print("\n".join(found))
    print(f"{count} differences in {len(chosen)} scripts")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
