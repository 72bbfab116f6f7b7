"""miniredis from the command line, as redis-server is: `miniredis [redis.conf] [--directive value …] [-]`.

miniredis --version | --help
miniredis commands                the table of commands, as Markdown
miniredis check-aof | check-rdb   whether files hold together (checking.py)
"""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import suppress
from random import Random, SystemRandom
from typing import Final

from miniredis.config import VERSION_LINE, CommandLine, Config, ConfigError
from miniredis.engine.version import VERSION
from miniredis.listeners import CannotListen
from miniredis.persist.snapshots import CannotLoad
from miniredis.server import Server
from protocol.disk.files import Disk
from protocol.net import loop
from protocol.ops.clock import Clock
from protocol.ops.logs import Level, Logger, redis_line, to_stdout
from protocol.ops.process import Process

USAGE = """\
Usage: miniredis [/path/to/redis.conf] [options] [-]
       miniredis - (read config from stdin)
       miniredis -v or --version
       miniredis -h or --help
       miniredis commands (list the supported commands)
       miniredis check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>
       miniredis check-rdb <rdb-file-name>

Examples:
       miniredis (run the server with the default configuration)
       echo 'maxclients 128' | miniredis -
       miniredis /etc/redis/6379.conf
       miniredis --port 7777 --loglevel verbose
       miniredis --port 0 --ready-file /tmp/ready --exit-with-parent yes
"""


# New containers until the youngest generation is looked at, such scans until the middle one is, and never the oldest:
# a full collection stops the server for 15 ms per 300,000 objects, and no request leaves a cycle.
GC_THRESHOLDS = (50_000, 20, 1_000_000)

# Who sets these counts on what they promise: data that outlives a kill, a copy elsewhere, users, encryption. A warning
# in the log would be read afterwards.
NEVER_IGNORED: Final = frozenset({"cluster-enabled", "aclfile", "tls-port"})


def main() -> None:
    """The entry point; ends the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """What the words of the command line ask for; the exit code."""
    if arguments in (["-v"], ["--version"]):
        print(VERSION_LINE)
        return 0
    if arguments in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    if arguments == ["commands"]:
        from miniredis.console import command_table

        print(command_table())
        return 0
    disk = Disk()
    if arguments[:1] in (["check-aof"], ["check-rdb"]):
        from miniredis.checking import run_tool

        return run_tool(arguments, disk, Clock(), print, sys.stdin.readline)
    config = Config(
        read_file=disk.read, list_directory=disk.list, is_directory=disk.is_dir, directory=disk.current_dir()
    )
    try:
        config.load(CommandLine(arguments), stdin=sys.stdin.buffer.read)
        config.file = config.file and disk.absolute(config.file)  # before `dir` makes it another
        disk.change_dir(config["dir"])
    except (ConfigError, OSError) as error:
        print(str(error).strip("\n"), file=sys.stderr)
        return 1
    if missing := NEVER_IGNORED.intersection(config.ignored):
        print(f"This server does not have what '{min(missing)}' asks for: start it without", file=sys.stderr)
        return 1
    if not disk.is_writable(config["dir"]):
        print(f"Can't write to the directory '{config['dir']}': choose another one with --dir", file=sys.stderr)
        return 1
    return loop.run(lambda stop: serve(config, disk, stop))


async def serve(config: Config, disk: Disk, stop: asyncio.Event) -> int:
    """Run a server until a signal, SHUTDOWN or the parent's end; the exit code."""
    clock, process = Clock(), Process()
    log = make_log(config, disk, clock, process)
    log.notice("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo")
    log.notice(f"Redis version={VERSION}, bits=64, commit=00000000, modified=0, pid={process.pid()}, just started")
    for name in config.ignored:
        log.warning(f"The directive '{name}' has no effect in this server")
    running = asyncio.get_running_loop()
    server = Server(
        running, config, disk=disk, clock=clock, random=Random(), secrets=SystemRandom(), process=process, log=log
    )
    ending = server.ending
    loop.heed_signals(running, interrupted=ending.interrupted, terminated=ending.terminated)
    try:
        await server.start()
        if config["console-port"]:
            from miniredis.console import open_console

            await open_console(server, config["console-port"])
        tell_ready(server, config, disk, log)
    except CannotLoad as error:
        log.warning(str(error))
        if not config["appendonly"]:
            check_file(config, disk, clock, log)
        log.warning("Fatal error loading the DB, check server logs. Exiting.")
        return 1
    except (CannotListen, OSError, ModuleNotFoundError) as error:
        for line in str(error).splitlines():
            log.warning(line)
        print(f"miniredis: {error}", file=sys.stderr)
        return 1
    # Everything made until now lives for ever: the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    if config["exit-with-parent"]:
        process.watch_parent(running, ending.terminated)
    if stop.is_set():
        ending.terminated()
    server.announce()
    await server.stopping.wait()
    await server.stop()
    if config["pidfile"]:
        with suppress(OSError):  # somebody else has removed it
            disk.remove(config["pidfile"])
    log.warning("Redis is now ready to exit, bye bye...")
    return 0


def check_file(config: Config, disk: Disk, clock: Clock, log: Logger) -> None:
    """Say of a file that could not be loaded how far it holds together."""
    from miniredis.checking import run_tool

    run_tool(["check-rdb", f"{config['dir']}/{config['dbfilename']}"], disk, clock, log.warning, lambda: "")
    log.warning("Terminating server after rdb file reading failure.")


def make_log(config: Config, disk: Disk, clock: Clock, process: Process) -> Logger:
    """A log of Redis's lines, to the file that `logfile` names or else to the standard output."""
    levels = {"debug": Level.DEBUG, "verbose": Level.VERBOSE, "warning": Level.WARNING}
    write = to_stdout
    if config["logfile"]:
        file = disk.open(config["logfile"])

        def write(line: str) -> None:
            file.append(line.encode("utf-8", "replace") + b"\n")

    render = redis_line(clock, process.pid(), lambda: "S" if config["replicaof"] else "M")
    return Logger(render, level=levels.get(config["loglevel"], Level.NOTICE), write=write)


def tell_ready(server: Server, config: Config, disk: Disk, log: Logger) -> None:
    """The pid file as Redis writes it, if it can be, and the ready file: the address, once a client would be served."""
    if config["pidfile"]:
        try:
            disk.write_atomically(config["pidfile"], b"%d\n" % server.process.pid())
        except OSError as error:
            log.warning(f"Failed to write PID file: {error.strerror}")
    if config["ready-file"]:
        disk.write_atomically(config["ready-file"], b"127.0.0.1:%d\n" % server.state.port)


if __name__ == "__main__":
    main()
