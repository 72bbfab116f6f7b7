"""Five doors to the outside: without them neither the simulator nor a test could stand in for the world."""

import ast

import pytest

from tests.house.sources import ROOT, imports, modules, tree

# module → the only files that may import it
DOORS = {
    "os": {"protocol/disk/files.py", "protocol/ops/process.py"},
    "fcntl": {"protocol/disk/files.py"},
    "shutil": {"protocol/disk/files.py"},
    "tempfile": {"protocol/disk/files.py"},
    "pathlib": set(),
    "mmap": {"protocol/disk/files.py"},
    "time": {"protocol/ops/clock.py"},
    "datetime": set(),
    "threading": {"protocol/ops/process.py"},
    "multiprocessing": set(),
    "subprocess": set(),
    "resource": {"protocol/ops/process.py"},
    "platform": {"protocol/ops/process.py"},
    "socket": {"protocol/net/connection.py", "protocol/net/listener.py"},  # socket options; an address bound at once
    "select": set(),
    "signal": {"protocol/net/loop.py", "protocol/ops/process.py"},  # what a child does not inherit
    "secrets": set(),
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


@pytest.mark.parametrize("name", modules())
def test_chance_is_handed_in(name: str) -> None:
    """A call of the `random` module, or an instance made below the wiring, cannot be replayed from a seed."""
    path = modules()[name]
    by_module = any(isinstance(n, ast.Import) and n.names[0].name == "random" for n in ast.walk(tree(path)))
    for node in ast.walk(tree(path)):
        if (
            by_module
            and isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
        ):
            assert node.attr in ("Random", "SystemRandom"), f"{path}:{node.lineno}: random.{node.attr} is global chance"
        if isinstance(node, ast.Call) and name not in WIRING:
            made = ast.unparse(node.func).rpartition(".")[2]
            assert made not in ("Random", "SystemRandom"), f"{path}:{node.lineno}: chance is made at the wiring"


@pytest.mark.parametrize("name", modules())
def test_files_go_through_the_disk(name: str) -> None:
    """`open` anywhere else writes behind the back of the simulated disk."""
    path = modules()[name]
    if str(path.relative_to(ROOT)) in DOORS["os"]:
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", f"{path}:{node.lineno}: files go through protocol.disk"


@pytest.mark.parametrize("name", modules())
def test_no_mutable_module_state(name: str) -> None:
    """Two servers in one process would share it. Tables may be built at import and never changed after."""
    path = modules()[name]
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Global), f"{path}:{node.lineno}: global state"


BROAD = ("miniredis/engine/execute.py", "miniredis/session.py", "minikafka/session.py")


@pytest.mark.parametrize("name", modules())
def test_broad_excepts_stand_in_three_files(name: str) -> None:
    """An `except Exception` elsewhere hides a fault that should have stopped the server or closed one connection."""
    path = modules()[name]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if broad:
                assert str(path.relative_to(ROOT)) in BROAD, f"{path}:{node.lineno}: except Exception"
