"""Five doors to the outside: without them neither the simulator nor a test could stand in for the world."""

import ast
from collections.abc import Iterable, Iterator

import pytest

from tests.house.sources import ROOT, imports, modules, tree

# module → the only files that may import it
DOORS = {
    "os": {"protocol/disk/files.py", "protocol/ops/process.py"},
    "fcntl": {"protocol/disk/files.py"},
    "shutil": {"protocol/disk/files.py"},
    "tempfile": set(),
    "pathlib": set(),
    "glob": set(),
    "mmap": {"protocol/disk/files.py"},
    "time": {"protocol/ops/clock.py"},
    "datetime": set(),
    "threading": {"protocol/ops/process.py"},
    "concurrent": {"protocol/ops/process.py"},
    "multiprocessing": set(),
    "subprocess": set(),
    "resource": {"protocol/ops/process.py"},
    "platform": {"protocol/ops/process.py"},
    "socket": {
        "protocol/net/connection.py",  # names of options (keep-alive) that are set on what the loop connected
        "protocol/net/listener.py",  # CONFIG SET port must answer whether the address is bound: no coroutine can
    },
    "select": set(),
    "signal": {
        "protocol/net/loop.py",  # SIGINT and SIGTERM become one event
        "protocol/ops/process.py",  # a forked child is told to end by one, and must not inherit our handlers
    },
    "secrets": set(),
    "uuid": set(),
    "importlib": {  # would lead past this table
        "protocol/checksums.py",  # one compiled module, without the package around it that takes a fifth of a start
    },
    "uvloop": {"protocol/net/loop.py"},
}


@pytest.mark.parametrize("name", modules())
def test_only_the_doors_lead_outside(name: str) -> None:
    """A second way to the clock, the disk or the processes is one the simulation does not see."""
    path = modules()[name]
    relative = str(path.relative_to(ROOT))
    for line, target in imports(path):
        door = target.split(".")[0]
        assert relative in DOORS.get(door, {relative}), f"{relative}:{line}: {door} has a door of its own"


WIRING = ("miniredis.server", "minikafka.broker", "miniredis.__main__", "minikafka.__main__")
MADE_OF = {"Random", "SystemRandom"}  # the classes; all else in the module is chance that everybody shares


@pytest.mark.parametrize("name", modules())
def test_chance_is_handed_in(name: str) -> None:
    """A call of the `random` module, or an instance made below the wiring, cannot be replayed from a seed."""
    path = modules()[name]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            assert "random" not in [alias.name for alias in node.names], f"{path}:{node.lineno}: import the class"
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            assert {alias.name for alias in node.names} <= MADE_OF, f"{path}:{node.lineno}: this is global chance"
        if isinstance(node, ast.Call) and name not in WIRING:
            made = ast.unparse(node.func).rpartition(".")[2]
            assert made not in MADE_OF, f"{path}:{node.lineno}: chance is made at the wiring"


@pytest.mark.parametrize("name", modules())
def test_files_go_through_the_disk(name: str) -> None:
    """`open` anywhere else writes behind the back of the simulated disk."""
    path = modules()[name]
    if str(path.relative_to(ROOT)) in DOORS["os"]:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("open", "io.open"):
            raise AssertionError(f"{path}:{node.lineno}: files go through protocol.disk")


# The two tables that decorators fill while their modules are imported.
FILLED_AT_IMPORT = {("miniredis/engine/registry.py", "_declared"), ("minikafka/api/registry.py", "_rows")}
CHANGES = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "setdefault", "sort", "update",
}  # fmt: skip


def assigned(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are given a value."""
    found = set()
    for node in nodes:
        for part in ast.walk(node):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                found.add(part.id)
    return found


def changed(function: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of everything a function stores into, deletes from, or calls a changing method of."""
    for node in ast.walk(function):
        owner: ast.AST | None = None
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            owner = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            owner = node.func.value
        if isinstance(owner, ast.Name):
            yield owner.lineno, owner.id


@pytest.mark.parametrize("name", modules())
def test_no_mutable_module_state(name: str) -> None:
    """Two servers in one process would share it. Tables may be built at import and never changed after."""
    path = modules()[name]
    relative = str(path.relative_to(ROOT))
    top = [node for node in tree(path).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    own = assigned(top)
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global), f"{path}:{node.lineno}: global state"
        if isinstance(node, ast.ImportFrom) and node.module == "functools":
            cached = {"cache", "lru_cache"} & {alias.name for alias in node.names}
            assert not cached, f"{path}:{node.lineno}: a cache that all servers of a process share"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            shadowed = assigned(node.body) | {argument.arg for argument in arguments}
            for line, changed_name in changed(node):
                if changed_name in own - shadowed and (relative, changed_name) not in FILLED_AT_IMPORT:
                    raise AssertionError(f"{path}:{line}: {changed_name} belongs to the module, and so to all servers")


# Where a fault of ours ends that only one client or thread is to suffer from, and how it is heard of all the same.
BROAD = {
    "miniredis/engine/waiting.py": "a script's thread hands its fault to the loop, which raises it there",
    "miniredis/session.py": "the client whose command it was is closed, the loop's handler told; others are served",
    "minikafka/session.py": "answered as UNKNOWN_SERVER_ERROR, with the traceback in the log",
}
FAULTS = {"Exception", "BaseException"}


def is_broad(kind: ast.expr | None) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(each is None or ast.unparse(each) in FAULTS for each in kinds)


def is_heard(handler: ast.ExceptHandler) -> bool:
    """Whether what was caught goes on: it is raised, logged with its traceback, or given to somebody by its name."""
    for node in ast.walk(ast.Module(handler.body, [])):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Name) and node.id == handler.name):
            return True
        if isinstance(node, ast.Attribute) and node.attr == "fault":
            return True
    return False


@pytest.mark.parametrize("name", modules())
def test_broad_excepts_stand_in_three_files(name: str) -> None:
    """An `except Exception` elsewhere hides a fault that should have stopped the server or closed one connection."""
    path = modules()[name]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type):
            assert str(path.relative_to(ROOT)) in BROAD, f"{path}:{node.lineno}: except Exception"
            assert is_heard(node), f"{path}:{node.lineno}: nobody hears of the fault"
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
            assert not any(map(is_broad, node.args)), f"{path}:{node.lineno}: suppress(Exception)"
