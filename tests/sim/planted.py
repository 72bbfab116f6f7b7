"""Bugs that the simulation of the stores has to find: each changes one place of a module as it is loaded.

Law: an anchor stands in its module exactly once. Where it is gone, the bug has to be planted anew.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Bug(NamedTuple):
    """One place of it: most have no other."""

    module: str
    anchor: str
    instead: str


FILE, FILES, AOF, LOAD = "persist.aof_file", "persist.aof_files", "persist.aof", "persist.aof_load"
REPLAY = "engine.replay"
PRIMARY, HISTORY = "replication.primary", "replication.history"
FOLLOWING, WAITS = "following", "replication.acknowledgements"

# What is wrong: (module, anchor, what stands there instead), three words for each place.
_PLANTED = {
    "a long answer leaves before effects are told": (
        "engine.plain",
        "                    told.tell()\n                    first = _hand_over(deliver, first, answers)\n"
        "                    client.send(data)\n",
        "                    first = _hand_over(deliver, first, answers)\n                    client.send(data)\n",
    ),
    "answers leave before the fsync": (
        FILE,
        "            self._sync_now()\n",
        "            self._sync_in_background()\n",
    ),
    "a failed fsync is forgotten": (
        FILE,
        "            self._synced = UNKNOWN  # nobody knows how much: the next fsync is for all of it\n",
        "            self._sync_error = ''\n            self._tell_synced(offset)\n",
    ),
    "with always a failed fsync goes unnoticed": (
        FILE,
        "            self._die(\n                f\"Can't persist AOF",
        "            str(\n                f\"Can't persist AOF",
    ),
    "everysec has no fsync of its own": (FILE, "now - self._synced_at >= SYNC_INTERVAL_S", "False"),
    "what is written is told as synced": (
        FILE,
        "        self._synced = self.size\n        offset = self.offset()\n",
        "        self._synced = self.size\n        offset = self.offset()\n        self._tell_synced(offset)\n",
    ),
    "a file is left without an fsync": (
        FILE,
        '            file.sync_data()\n        except OSError as error:\n            self._log.warning(f"Fail to fsync',
        '            pass\n        except OSError as error:\n            self._log.warning(f"Fail to fsync',
    ),
    "what is loaded is not synced": (
        AOF,
        "            file.sync_data()\n        disk.sync_dir(self.files.directory)\n",
        "            pass\n        disk.sync_dir(self.files.directory)\n",
    ),
    "the base is not synced": (
        AOF,
        "                self._write_all(file, reporter)\n                file.sync()\n",
        "                self._write_all(file, reporter)\n",
    ),
    "the manifest is not synced": (
        FILES,
        "            file.append(manifest.text())\n            file.sync()\n",
        "            file.append(manifest.text())\n",
    ),
    "a new increment is in no manifest": (
        AOF,
        "                self.files.put(manifest)\n        except OSError:\n            file.close()",
        "                pass\n        except OSError:\n            file.close()",
    ),
    "a rewrite keeps the increments before it": (
        AOF,
        "        manifest.retire_increments(keep_last=self.state != OFF)\n        disk.sync_dir",
        "        disk.sync_dir",
    ),
    "a rewrite drops the increment that is written": (
        AOF,
        "        manifest.retire_increments(keep_last=self.state != OFF)\n        disk.sync_dir",
        "        manifest.retire_increments(keep_last=False)\n        disk.sync_dir",
    ),
    "half a transaction is loaded": (
        LOAD,
        "        except Short:\n            replay.abandon()\n",
        "        except Short:\n            replay._step([b'EXEC'], valid) if replay.is_amid_transaction else None\n",
    ),
    "a torn end is left in the file": (LOAD, "            file.truncate(valid)\n", "            pass\n"),
    "keys past their end are gone while a file is run": (
        REPLAY,
        "engine.keyspace.expiry_rule, IGNORES",
        "engine.keyspace.expiry_rule, self._rule",
    ),
    "a partial synchronization one byte too early": (
        PRIMARY,
        "        follower.position = wanted - 1\n",
        "        follower.position = max(wanted - 2, 0)\n",
    ),
    "a partial synchronization one byte too late": (
        PRIMARY,
        "        follower.position = wanted - 1\n",
        "        follower.position = min(wanted, history.offset)\n",
    ),
    "an old name is known for ever": (HISTORY, "wanted <= self.second_offset", "True"),
    "a promoted replica keeps its name": (HISTORY, "self.continue_as(self._new_id())", "self.continue_as(self.id)"),
    "a full synchronization does not name the database": (
        PRIMARY,
        "        self._journal.restate()\n        if not follower.is_old",
        "        if not follower.is_old",
        "replicas",  # either would do: the snapshot tells in which database the stream goes on
        "max(self._state.journal.db, 0) if upstream is None",
        "0 if upstream is None",
    ),
    "a snapshot's place in the stream is without its database": (
        "incoming",
        'self._snapshots.aux.get(b"repl-stream-db", b"")',
        'b""',
    ),
    "effects between the snapshot and its end are not sent": (
        PRIMARY,
        "        follower.phase = Phase.ONLINE\n        follower.ack_at = self._monotonic()\n        self._judge()",
        "        follower.phase = Phase.ONLINE\n        follower.position = self.history.offset\n"
        "        follower.ack_at = self._monotonic()\n        self._judge()",
    ),
    "what was sent counts as had": (
        WAITS,
        "sum([each.ack_offset >= wish.offset for each in online])",
        "sum([each.position >= wish.offset for each in online])",
    ),
    "WAITAOF counts what replicas have in memory": (
        WAITS,
        "sum([each.aof_offset >= wish.offset for each in online])",
        "sum([each.ack_offset >= wish.offset for each in online])",
    ),
    "WAITAOF takes the local file for granted": (WAITS, "int(self.synced_offset >= wish.offset)", "1"),
    "a relative time is passed on": (
        "commands.strings",
        'call.replicate(b"SET", key, value, b"PXAT", b"%d" % instant)',
        'call.replicate(b"SET", key, value, b"PX", b"%d" % (instant - call.now))',
    ),
    "the database of a stream is forgotten": (
        FOLLOWING,
        "        self._db = stream.db.index\n",
        "        self._db = 0\n",
    ),
    "a file goes on while its data is replaced": (
        "server",
        "        self.following.replacing = self.appending.pause\n",
        "",
    ),
}
BUGS: dict[str, tuple[Bug, ...]] = {
    name: tuple([Bug(f"miniredis.{words[at]}", *words[at + 1 : at + 3]) for at in range(0, len(words), 3)])
    for name, words in _PLANTED.items()
}


def source(module: str) -> str:
    return (ROOT / (module.replace(".", "/") + ".py")).read_text()


class Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads modules with a bug in them."""

    def __init__(self, places: Iterable[Bug]) -> None:
        self.places = {place.module: place for place in places}

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name in self.places else None

    def exec_module(self, module: ModuleType) -> None:
        place = self.places[module.__name__]
        text = source(place.module)
        assert text.count(place.anchor) == 1, f"{place.module} has changed: {place.anchor!r}"
        exec(compile(text.replace(place.anchor, place.instead), place.module, "exec"), module.__dict__)


def plant(name: str) -> None:
    places = BUGS[name]
    assert not any(place.module in sys.modules for place in places), "too late"
    sys.meta_path.insert(0, Planter(places))
