"""`miniredis check-aof [--fix | --truncate-to-timestamp SECONDS] FILE`: whether an append-only file holds together, and
where it stops to, said as redis-check-aof says it.

FILE is a manifest, the one file of Redis before 7, or any single part. Only the last file of a manifest may be cut.
"""

from __future__ import annotations

from collections.abc import Callable

from miniredis.persist.aof_manifest import BadManifest, Manifest
from miniredis.persist.aof_read import CommandReader, Damaged, Short
from miniredis.persist.check_rdb import RdbCheck, Say
from miniredis.persist.rdb_load import Limits
from protocol.disk.files import Disk, File

OK = "valid"
EMPTY = "empty"
CUT = "cut"
CUT_TO_TIME = "cut to a time"

_MAGIC = b"REDIS"
_STAMP = b"#TS:"


class Failed(Exception):
    """The check ends here; what there is to say was said."""


class AofCheck:
    """`asks` is asked before a file is cut (--fix). `until_s`: what came after this second is cut off."""

    def __init__(
        self, disk: Disk, limits: Limits, say: Say, *, now_ms: int, fixes: bool, until_s: int | None,
        asks: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._disk = disk
        self._limits = limits
        self._say = say
        self._now_ms = now_ms
        self._fixes = fixes
        self._until_s = until_s
        self._asks = asks

    def run(self, path: str) -> bool:
        """Whether all of it is valid now."""
        try:
            if self._is_manifest(path):
                self._check_parts(path)
            else:
                self._say("Start checking Old-Style AOF")
                self._tell(self._check_file(path, path, is_last=True), path, "AOF")
        except OSError as error:
            self._say(f"Cannot open file {path}: {error.strerror}, aborting...")
            return False
        except Failed:
            return False
        return True

    def _fail(self, line: str) -> None:
        self._say(line)
        raise Failed

    def _is_manifest(self, path: str) -> bool:
        file = self._disk.open(path, create=False, read_only=True)
        try:
            lines = file.read(0, 64 * 1024).split(b"\n")
        finally:
            file.close()
        return next((line.startswith(b"file") for line in lines if not line.startswith(b"#")), False)

    def _check_parts(self, path: str) -> None:
        self._say("Start checking Multi Part AOF")
        directory, _, name = path.rpartition("/")
        try:
            manifest = Manifest.read(name.removesuffix(".manifest"), self._disk.read(path))
        except BadManifest as error:
            self._fail("\n".join(error.told))
            return
        parts = manifest.parts
        for part in parts:
            place = f"{directory}/{part.name}" if directory else part.name
            is_last = part is parts[-1]
            if part is manifest.base:
                kind = "RDB" if self._is_rdb(place) else "RESP"
                self._say(f"Start to check BASE AOF ({kind} format).")
                self._tell(self._check_file(part.name, place, is_last=is_last), part.name, "BASE AOF")
                continue
            if part is manifest.increments[0]:
                self._say("Start to check INCR files.")
            self._tell(self._check_file(part.name, place, is_last=is_last), part.name, "INCR AOF")
        self._say("All AOF files and manifest are valid")

    def _tell(self, outcome: str, name: str, kind: str) -> None:
        self._say({
            OK: f"{kind} {name} is valid",
            EMPTY: f"{kind} {name} is empty",
            CUT: f"Successfully truncated AOF {name}",
            CUT_TO_TIME: f"Successfully truncated AOF {name} to timestamp {self._until_s}",
        }[outcome])  # fmt: skip

    def _is_rdb(self, path: str) -> bool:
        file = self._disk.open(path, create=False, read_only=True)
        try:
            return file.read(0, len(_MAGIC)) == _MAGIC
        finally:
            file.close()

    def _check_file(self, name: str, path: str, *, is_last: bool) -> str:
        file = self._disk.open(path, create=False)
        try:
            if not file.size:
                return EMPTY
            start = 0
            if file.read(0, len(_MAGIC)) == _MAGIC:
                rdb = RdbCheck(file, self._limits, self._say, self._now_ms)
                if not rdb.run(name):
                    self._fail("RDB preamble of AOF file is not sane, aborting.")
                self._say("RDB preamble is OK, proceeding with AOF tail...")
                start = rdb.end
            return self._check_commands(file, name, start, is_last=is_last)
        finally:
            file.close()

    def _check_commands(self, file: File, name: str, start: int, *, is_last: bool) -> str:
        reader = CommandReader(file, start, stamps=self._until_s is not None)
        valid, is_amid, line, trouble = start, False, 1, ""
        try:
            for commands in reader:
                for argv, end in commands:
                    word = argv[0]
                    if word.startswith(_STAMP) and len(argv) == 1:
                        if self._is_over(word, name):
                            return self._cut_to_time(file, name, valid, is_last=is_last)
                    elif word.lower() == b"multi" and is_amid:
                        raise Damaged(f"offset {valid}: Unexpected MULTI in AOF {name}")
                    elif word.lower() == b"multi":
                        is_amid = True
                    elif word.lower() == b"exec" and not is_amid:
                        raise Damaged(f"offset {valid}: Unexpected EXEC in AOF {name}")
                    elif word.lower() == b"exec":
                        is_amid = False
                    line += 1 + 2 * len(argv)
                    if not is_amid:
                        valid = end
            if is_amid:
                trouble = "Reached EOF before reading EXEC for MULTI"
        except (Damaged, Short) as error:
            trouble = str(error)
        if trouble:
            self._say(f"0x{valid:16x}: {trouble}")
        return self._conclude(file, name, valid, line, is_last=is_last)

    def _conclude(self, file: File, name: str, valid: int, line: int, *, is_last: bool) -> str:
        left = file.size - valid
        if not left and self._until_s is not None:
            self._say(f"Truncate nothing in AOF {name} to timestamp {self._until_s}")
            return OK
        self._say(
            f"AOF analyzed: filename={name}, size={file.size}, ok_up_to={valid}, ok_up_to_line={line}, diff={left}"
        )
        if not left:
            return OK
        if not self._fixes:
            self._fail(f"AOF {name} is not valid. Use the --fix option to try fixing it.")
        if not is_last:
            self._fail(f"Failed to truncate AOF {name} because it is not the last file")
        self._say(f"This will shrink the AOF {name} from {file.size} bytes, with {left} bytes, to {valid} bytes")
        if not self._asks():
            self._fail("Aborting...")
        self._cut(file, name, valid)
        return CUT

    def _is_over(self, stamp: bytes, name: str) -> bool:
        digits = stamp[len(_STAMP) :]
        if not digits.isdigit():
            self._fail("Invalid timestamp annotation")
        return self._until_s is not None and int(digits) > self._until_s

    def _cut_to_time(self, file: File, name: str, valid: int, *, is_last: bool) -> str:
        if not valid:
            self._fail(f"AOF {name} has nothing before timestamp {self._until_s}, aborting...")
        if not is_last:
            self._say(
                f"Failed to truncate AOF {name} to timestamp {self._until_s} to offset {valid} because it is not the "
                "last file."
            )
            self._fail(
                "If you insist, please delete all files after this file according to the manifest file and delete the "
                "corresponding records in manifest file manually. Then re-run redis-check-aof."
            )
        self._cut(file, name, valid)
        return CUT_TO_TIME

    def _cut(self, file: File, name: str, size: int) -> None:
        try:
            file.truncate(size)
            file.sync()
        except OSError as error:
            self._fail(f"Failed to truncate AOF {name}: {error.strerror}")
