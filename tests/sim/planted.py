"""Bugs that the simulation of the stores has to find: each changes one place of a module as it is loaded.

Law: an anchor stands in its module exactly once. Where it is gone, the bug has to be planted anew.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Bug(NamedTuple):
    module: str
    anchor: str
    instead: str


FILE, FILES, AOF, LOAD = "persist.aof_file", "persist.aof_files", "persist.aof", "persist.aof_load"
REPLAY = "engine.replay"
PRIMARY, HISTORY = "replication.primary", "replication.history"
FOLLOWING, WAITS = "following", "replication.acknowledgements"

# What is wrong: (module, anchor, what stands there instead).
_PLANTED = {
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
BUGS = {name: Bug(f"miniredis.{module}", anchor, instead) for name, (module, anchor, instead) in _PLANTED.items()}


def source(module: str) -> str:
    return (ROOT / (module.replace(".", "/") + ".py")).read_text()


class Planter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with its bug."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.bug.module else None

    def exec_module(self, module: ModuleType) -> None:
        text = source(self.bug.module)
        assert text.count(self.bug.anchor) == 1, f"{self.bug.module} has changed: {self.bug.anchor!r}"
        exec(compile(text.replace(self.bug.anchor, self.bug.instead), self.bug.module, "exec"), module.__dict__)


def plant(name: str) -> None:
    bug = BUGS[name]
    assert bug.module not in sys.modules, "too late"
    sys.meta_path.insert(0, Planter(bug))
