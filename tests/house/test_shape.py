"""Nothing in the house that nobody uses; and a look at its longest rooms."""

import ast
from fnmatch import fnmatch

from tests.house.sources import ROOT, imports, modules, tree

ENTRANCES = {"miniredis.__main__", "minikafka.__main__"}
TOP_LEVEL = {
    "pyproject.toml", "minikafka", "miniredis", "protocol", "tests", "bench", "Makefile", "README.md", "LICENSE"
}  # fmt: skip


def test_no_dead_files() -> None:
    """A module that no entrance reaches is code that nobody runs."""
    reached: set[str] = set()
    waiting = list(ENTRANCES)
    while waiting:
        name = waiting.pop()
        if name in reached or name not in modules():
            continue
        reached.add(name)
        waiting += [target for _, target in imports(modules()[name])]
        waiting.append(name.rpartition(".")[0])
    dead = {name for name in modules() if name not in reached and not is_room(name)}
    assert dead <= AHEAD, f"no entrance reaches {sorted(dead - AHEAD)}"
    assert not AHEAD - dead, f"these are no longer ahead of their tenants: {sorted(AHEAD - dead)}"


# Messages of the floor plan that stand before their tenants, replicas and security. Each has tests of its own.
AHEAD = {"protocol.kafka.messages.replicas", "protocol.kafka.messages.security"}


def is_room(name: str) -> bool:
    return modules()[name].name == "__init__.py"


def test_top_level_is_as_agreed() -> None:
    """Whoever opens the repository sees nine names."""
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    ignored = (ROOT / ".gitignore").read_text().splitlines()  # what work leaves behind
    assert {name for name in shown if not any(fnmatch(name, each.rstrip("/")) for each in ignored)} == TOP_LEVEL


def test_every_module_says_what_it_is_for() -> None:
    """A newcomer reads the first line of a file before its code."""
    for name, path in modules().items():
        if path.stat().st_size and not ast.get_docstring(tree(path)):
            raise AssertionError(f"{name} has no docstring")


def longest() -> list[tuple[int, str]]:
    """(lines, place) of the longest functions, for `python -m tests.house.test_shape`."""
    found = []
    for path in modules().values():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append((lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"))
    return sorted(found, reverse=True)


if __name__ == "__main__":
    for path in sorted(modules().values(), key=lambda p: -len(p.read_text().splitlines()))[:15]:
        print(f"{len(path.read_text().splitlines()):5}  {path.relative_to(ROOT)}")
    for lines, place in longest()[:20]:
        print(f"{lines:5}  {place}")
