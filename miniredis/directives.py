"""Every directive of redis.conf that Redis 7.4.1 knows: name, type, default, bounds – once.

`CONFIG GET` answers all of them. Only those marked `is_read` have anybody here who reads them: CONFIG SET of another
one is refused, and a redis.conf that gives it a value of its own is told so in the log. A directive that somebody
begins to read gets its mark here, a field in engine/settings.py if commands are the ones that read it (same name,
underscores for dashes), and a line in tests/unit/miniredis/test_config.py that shows its effect.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

# Option.flags.
FIXED: Final = 1  # only at start: CONFIG SET cannot change it
HIDDEN: Final = 2  # CONFIG GET shows it by its exact name only
PROTECTED: Final = 4  # CONFIG SET needs enable-protected-configs
SECRET: Final = 8  # a password: not for logs
NOT_LOADING: Final = 16  # CONFIG SET has to wait until the data is loaded

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
UINT_MAX: Final = 2**32 - 1
INT64_MAX: Final = 2**63 - 1
UINT64_MAX: Final = 2**64 - 1


class Kind(Enum):
    """How the words of a directive are read."""

    YES_NO = auto()
    TEXT = auto()
    CHOICE = auto()
    FLAGS = auto()  # several choices at once
    INTEGER = auto()
    MEMORY = auto()  # bytes, with units
    SHARE = auto()  # bytes, or percent of maxmemory (kept negative)
    OCTAL = auto()
    SAVE = auto()  # pairs: seconds, changes
    LIMITS = auto()  # client class, hard bytes, soft bytes, soft seconds
    SCORES = auto()  # three integers
    EVENTS = auto()  # letters of keyspace event classes
    ADDRESSES = auto()
    PRIMARY = auto()  # host and port
    PERCENTILES = auto()
    DIRECTORY = auto()


# Several words are one value: given in one argument they are split.
MANY_WORDS: Final = frozenset(
    {Kind.FLAGS, Kind.SAVE, Kind.LIMITS, Kind.SCORES, Kind.ADDRESSES, Kind.PRIMARY, Kind.PERCENTILES}
)


class Option(NamedTuple):
    """One directive. `low` and `high` bound numbers, both included; `alias` is an older name for the same value."""

    name: str
    kind: Kind
    default: str
    alias: str = ""
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 0
    flags: int = 0
    is_read: bool = False


OPTIONS: Final = (
    Option("acl-pubsub-default", Kind.CHOICE, "resetchannels", choices=("allchannels", "resetchannels")),
    Option("aclfile", Kind.TEXT, "", flags=FIXED),
    Option("acllog-max-len", Kind.INTEGER, "128", low=0, high=INT64_MAX),
    Option("active-defrag-cycle-max", Kind.INTEGER, "25", low=1, high=99),
    Option("active-defrag-cycle-min", Kind.INTEGER, "1", low=1, high=99),
    Option("active-defrag-ignore-bytes", Kind.MEMORY, "104857600", low=1, high=INT64_MAX),
    Option("active-defrag-max-scan-fields", Kind.INTEGER, "1000", low=1, high=INT64_MAX),
    Option("active-defrag-threshold-lower", Kind.INTEGER, "10", low=0, high=1000),
    Option("active-defrag-threshold-upper", Kind.INTEGER, "100", low=0, high=1000),
    Option("active-expire-effort", Kind.INTEGER, "1", low=1, high=10, is_read=True),
    Option("activedefrag", Kind.YES_NO, "no"),
    Option("activerehashing", Kind.YES_NO, "yes"),
    Option("always-show-logo", Kind.YES_NO, "no", flags=FIXED, is_read=True),
    Option("aof-disable-auto-gc", Kind.YES_NO, "no", flags=HIDDEN, is_read=True),
    Option("aof-load-truncated", Kind.YES_NO, "yes", is_read=True),
    Option("aof-rewrite-cpulist", Kind.TEXT, "", alias="aof_rewrite_cpulist", flags=FIXED),
    Option("aof-rewrite-incremental-fsync", Kind.YES_NO, "yes", is_read=True),
    Option("aof-timestamp-enabled", Kind.YES_NO, "no", is_read=True),
    Option("aof-use-rdb-preamble", Kind.YES_NO, "yes", is_read=True),
    Option("appenddirname", Kind.TEXT, "appendonlydir", flags=FIXED, is_read=True),
    Option("appendfilename", Kind.TEXT, "appendonly.aof", flags=FIXED, is_read=True),
    Option("appendfsync", Kind.CHOICE, "everysec", choices=("everysec", "always", "no"), is_read=True),
    Option("appendonly", Kind.YES_NO, "no", flags=NOT_LOADING, is_read=True),
    Option("auto-aof-rewrite-min-size", Kind.MEMORY, "67108864", low=0, high=INT64_MAX, is_read=True),
    Option("auto-aof-rewrite-percentage", Kind.INTEGER, "100", low=0, high=INT_MAX, is_read=True),
    Option("bgsave-cpulist", Kind.TEXT, "", alias="bgsave_cpulist", flags=FIXED),
    # Redis compiled without a file listens everywhere; the redis.conf it ships with, and we, on loopback only.
    Option("bind", Kind.ADDRESSES, "127.0.0.1 -::1", is_read=True),
    Option("bind-source-addr", Kind.TEXT, ""),
    Option("bio-cpulist", Kind.TEXT, "", alias="bio_cpulist", flags=FIXED),
    Option("busy-reply-threshold", Kind.INTEGER, "5000", low=0, high=INT64_MAX, alias="lua-time-limit", is_read=True),
    Option(
        "client-output-buffer-limit",
        Kind.LIMITS,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        is_read=True,
    ),
    Option("client-query-buffer-limit", Kind.MEMORY, "1073741824", low=1024 * 1024, high=INT64_MAX, is_read=True),
    Option("cluster-allow-pubsubshard-when-down", Kind.YES_NO, "yes"),
    Option("cluster-allow-reads-when-down", Kind.YES_NO, "no"),
    Option("cluster-allow-replica-migration", Kind.YES_NO, "yes"),
    Option("cluster-announce-bus-port", Kind.INTEGER, "0", low=0, high=65535),
    Option("cluster-announce-hostname", Kind.TEXT, ""),
    Option("cluster-announce-human-nodename", Kind.TEXT, ""),
    Option("cluster-announce-ip", Kind.TEXT, ""),
    Option("cluster-announce-port", Kind.INTEGER, "0", low=0, high=65535),
    Option("cluster-announce-tls-port", Kind.INTEGER, "0", low=0, high=65535),
    Option("cluster-config-file", Kind.TEXT, "nodes.conf", flags=FIXED),
    Option("cluster-enabled", Kind.YES_NO, "no", flags=FIXED),
    Option("cluster-link-sendbuf-limit", Kind.MEMORY, "0", low=0, high=UINT64_MAX),
    Option("cluster-migration-barrier", Kind.INTEGER, "1", low=0, high=INT_MAX),
    Option("cluster-node-timeout", Kind.INTEGER, "15000", low=0, high=INT64_MAX),
    Option("cluster-ping-interval", Kind.INTEGER, "0", low=0, high=INT64_MAX, flags=HIDDEN),
    Option("cluster-port", Kind.INTEGER, "0", low=0, high=65535, flags=FIXED),
    Option("cluster-preferred-endpoint-type", Kind.CHOICE, "ip", choices=("ip", "hostname", "unknown-endpoint")),
    Option("cluster-replica-no-failover", Kind.YES_NO, "no", alias="cluster-slave-no-failover"),
    Option(
        "cluster-replica-validity-factor",
        Kind.INTEGER,
        "10",
        low=0,
        high=INT_MAX,
        alias="cluster-slave-validity-factor",
    ),
    Option("cluster-require-full-coverage", Kind.YES_NO, "yes"),
    Option("crash-log-enabled", Kind.YES_NO, "yes"),
    Option("crash-memcheck-enabled", Kind.YES_NO, "yes"),
    Option("daemonize", Kind.YES_NO, "no", flags=FIXED),
    Option("databases", Kind.INTEGER, "16", low=1, high=INT_MAX, flags=FIXED, is_read=True),
    Option("dbfilename", Kind.TEXT, "dump.rdb", flags=PROTECTED, is_read=True),
    Option("dir", Kind.DIRECTORY, "", flags=PROTECTED | NOT_LOADING, is_read=True),
    Option("disable-thp", Kind.YES_NO, "yes", flags=FIXED),
    Option("dynamic-hz", Kind.YES_NO, "yes", is_read=True),
    Option("enable-debug-command", Kind.CHOICE, "no", choices=("no", "yes", "local"), flags=FIXED, is_read=True),
    Option("enable-module-command", Kind.CHOICE, "no", choices=("no", "yes", "local"), flags=FIXED),
    Option("enable-protected-configs", Kind.CHOICE, "no", choices=("no", "yes", "local"), flags=FIXED, is_read=True),
    Option(
        "hash-max-listpack-entries",
        Kind.INTEGER,
        "512",
        low=0,
        high=INT64_MAX,
        alias="hash-max-ziplist-entries",
        is_read=True,
    ),
    Option(
        "hash-max-listpack-value",
        Kind.MEMORY,
        "64",
        low=0,
        high=INT64_MAX,
        alias="hash-max-ziplist-value",
        is_read=True,
    ),
    Option("hide-user-data-from-log", Kind.YES_NO, "no"),
    Option("hll-sparse-max-bytes", Kind.MEMORY, "3000", low=0, high=INT64_MAX, is_read=True),
    Option("hz", Kind.INTEGER, "10", low=0, high=INT_MAX, is_read=True),
    Option("ignore-warnings", Kind.TEXT, ""),
    Option("io-threads", Kind.INTEGER, "1", low=1, high=128, flags=FIXED),
    Option("io-threads-do-reads", Kind.YES_NO, "no", flags=FIXED),
    Option("jemalloc-bg-thread", Kind.YES_NO, "yes"),
    Option("key-load-delay", Kind.INTEGER, "0", low=INT_MIN, high=INT_MAX, flags=HIDDEN, is_read=True),
    Option("latency-monitor-threshold", Kind.INTEGER, "0", low=0, high=INT64_MAX, is_read=True),
    Option("latency-tracking", Kind.YES_NO, "yes", is_read=True),
    Option("latency-tracking-info-percentiles", Kind.PERCENTILES, "50 99 99.9", is_read=True),
    Option("lazyfree-lazy-eviction", Kind.YES_NO, "no", is_read=True),
    Option("lazyfree-lazy-expire", Kind.YES_NO, "no", is_read=True),
    Option("lazyfree-lazy-server-del", Kind.YES_NO, "no", is_read=True),
    Option("lazyfree-lazy-user-del", Kind.YES_NO, "no"),
    Option("lazyfree-lazy-user-flush", Kind.YES_NO, "no"),
    Option("lfu-decay-time", Kind.INTEGER, "1", low=0, high=INT_MAX, is_read=True),
    Option("lfu-log-factor", Kind.INTEGER, "10", low=0, high=INT_MAX, is_read=True),
    Option("list-compress-depth", Kind.INTEGER, "0", low=0, high=INT_MAX, is_read=True),
    Option(
        "list-max-listpack-size",
        Kind.INTEGER,
        "-2",
        low=INT_MIN,
        high=INT_MAX,
        alias="list-max-ziplist-size",
        is_read=True,
    ),
    Option(
        "loading-process-events-interval-bytes",
        Kind.INTEGER,
        "2097152",
        low=1024,
        high=INT_MAX,
        flags=HIDDEN,
        is_read=True,
    ),
    Option("locale-collate", Kind.TEXT, ""),
    Option("logfile", Kind.TEXT, "", flags=FIXED, is_read=True),
    Option(
        "loglevel", Kind.CHOICE, "notice", choices=("debug", "verbose", "notice", "warning", "nothing"), is_read=True
    ),
    Option("masterauth", Kind.TEXT, "", flags=SECRET, is_read=True),
    Option("masteruser", Kind.TEXT, "", flags=SECRET, is_read=True),
    Option("max-new-connections-per-cycle", Kind.INTEGER, "10", low=1, high=1000),
    Option("max-new-tls-connections-per-cycle", Kind.INTEGER, "1", low=1, high=1000),
    Option("maxclients", Kind.INTEGER, "10000", low=1, high=UINT_MAX, is_read=True),
    Option("maxmemory", Kind.MEMORY, "0", low=0, high=UINT64_MAX, is_read=True),
    Option("maxmemory-clients", Kind.SHARE, "0", low=-100, high=INT64_MAX, is_read=True),
    Option("maxmemory-eviction-tenacity", Kind.INTEGER, "10", low=0, high=100, is_read=True),
    Option(
        "maxmemory-policy",
        Kind.CHOICE,
        "noeviction",
        choices=(
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ),
        is_read=True,
    ),
    Option("maxmemory-samples", Kind.INTEGER, "5", low=1, high=64, is_read=True),
    Option("min-replicas-max-lag", Kind.INTEGER, "10", low=0, high=INT_MAX, alias="min-slaves-max-lag", is_read=True),
    Option("min-replicas-to-write", Kind.INTEGER, "0", low=0, high=INT_MAX, alias="min-slaves-to-write", is_read=True),
    Option("no-appendfsync-on-rewrite", Kind.YES_NO, "no", is_read=True),
    Option("notify-keyspace-events", Kind.EVENTS, "", is_read=True),
    Option("oom-score-adj", Kind.CHOICE, "no", choices=("no", "yes", "relative", "absolute")),
    Option("oom-score-adj-values", Kind.SCORES, "0 200 800"),
    Option("pidfile", Kind.TEXT, "", flags=FIXED, is_read=True),
    Option("port", Kind.INTEGER, "6379", low=0, high=65535, is_read=True),
    Option("proc-title-template", Kind.TEXT, "{title} {listen-addr} {server-mode}"),
    Option(
        "propagation-error-behavior",
        Kind.CHOICE,
        "ignore",
        choices=("ignore", "panic", "panic-on-replicas"),
        is_read=True,
    ),
    Option("protected-mode", Kind.YES_NO, "yes", is_read=True),
    Option("proto-max-bulk-len", Kind.MEMORY, "536870912", low=1024 * 1024, high=INT64_MAX, is_read=True),
    Option("rdb-del-sync-files", Kind.YES_NO, "no", is_read=True),
    Option("rdb-key-save-delay", Kind.INTEGER, "0", low=INT_MIN, high=INT_MAX, flags=HIDDEN, is_read=True),
    Option("rdb-save-incremental-fsync", Kind.YES_NO, "yes", is_read=True),
    Option("rdbchecksum", Kind.YES_NO, "yes", flags=FIXED, is_read=True),
    Option("rdbcompression", Kind.YES_NO, "yes", is_read=True),
    Option("repl-backlog-size", Kind.MEMORY, "1048576", low=1, high=INT64_MAX, is_read=True),
    Option("repl-backlog-ttl", Kind.INTEGER, "3600", low=0, high=INT64_MAX, is_read=True),
    Option("repl-disable-tcp-nodelay", Kind.YES_NO, "no"),
    Option(
        "repl-diskless-load",
        Kind.CHOICE,
        "disabled",
        choices=("disabled", "on-empty-db", "swapdb"),
        flags=NOT_LOADING,
        is_read=True,
    ),
    Option("repl-diskless-sync", Kind.YES_NO, "yes", is_read=True),
    Option("repl-diskless-sync-delay", Kind.INTEGER, "5", low=0, high=INT_MAX, is_read=True),
    Option("repl-diskless-sync-max-replicas", Kind.INTEGER, "0", low=0, high=INT_MAX, is_read=True),
    Option(
        "repl-ping-replica-period",
        Kind.INTEGER,
        "10",
        low=1,
        high=INT_MAX,
        alias="repl-ping-slave-period",
        is_read=True,
    ),
    Option("repl-timeout", Kind.INTEGER, "60", low=1, high=INT_MAX, is_read=True),
    Option("replica-announce-ip", Kind.TEXT, "", alias="slave-announce-ip", is_read=True),
    Option("replica-announce-port", Kind.INTEGER, "0", low=0, high=65535, alias="slave-announce-port", is_read=True),
    Option("replica-announced", Kind.YES_NO, "yes", is_read=True),
    Option("replica-ignore-disk-write-errors", Kind.YES_NO, "no"),
    Option("replica-ignore-maxmemory", Kind.YES_NO, "yes", alias="slave-ignore-maxmemory", is_read=True),
    Option("replica-lazy-flush", Kind.YES_NO, "no", alias="slave-lazy-flush", is_read=True),
    Option("replica-priority", Kind.INTEGER, "100", low=0, high=INT_MAX, alias="slave-priority", is_read=True),
    Option("replica-read-only", Kind.YES_NO, "yes", alias="slave-read-only", is_read=True),
    Option("replica-serve-stale-data", Kind.YES_NO, "yes", alias="slave-serve-stale-data", is_read=True),
    Option("replicaof", Kind.PRIMARY, "", alias="slaveof", flags=FIXED, is_read=True),
    Option("requirepass", Kind.TEXT, "", flags=SECRET, is_read=True),
    Option("sanitize-dump-payload", Kind.CHOICE, "no", choices=("no", "yes", "clients"), is_read=True),
    Option("save", Kind.SAVE, "3600 1 300 100 60 10000", is_read=True),
    Option("server-cpulist", Kind.TEXT, "", alias="server_cpulist", flags=FIXED),
    Option("set-max-intset-entries", Kind.INTEGER, "512", low=0, high=INT64_MAX, is_read=True),
    Option("set-max-listpack-entries", Kind.INTEGER, "128", low=0, high=INT64_MAX, is_read=True),
    Option("set-max-listpack-value", Kind.INTEGER, "64", low=0, high=INT64_MAX, is_read=True),
    Option("set-proc-title", Kind.YES_NO, "yes", flags=FIXED),
    Option(
        "shutdown-on-sigint", Kind.FLAGS, "default", choices=("default", "save", "nosave", "now", "force"), is_read=True
    ),
    Option(
        "shutdown-on-sigterm",
        Kind.FLAGS,
        "default",
        choices=("default", "save", "nosave", "now", "force"),
        is_read=True,
    ),
    Option("shutdown-timeout", Kind.INTEGER, "10", low=0, high=INT_MAX, is_read=True),
    Option("slowlog-log-slower-than", Kind.INTEGER, "10000", low=-1, high=INT64_MAX, is_read=True),
    Option("slowlog-max-len", Kind.INTEGER, "128", low=0, high=INT64_MAX, is_read=True),
    Option("socket-mark-id", Kind.INTEGER, "0", low=0, high=UINT_MAX, flags=FIXED),
    Option("stop-writes-on-bgsave-error", Kind.YES_NO, "yes", is_read=True),
    Option("stream-node-max-bytes", Kind.MEMORY, "4096", low=0, high=INT64_MAX, is_read=True),
    Option("stream-node-max-entries", Kind.INTEGER, "100", low=0, high=INT64_MAX, is_read=True),
    Option("supervised", Kind.CHOICE, "no", choices=("upstart", "systemd", "auto", "no"), flags=FIXED),
    Option("syslog-enabled", Kind.YES_NO, "no", flags=FIXED),
    Option(
        "syslog-facility",
        Kind.CHOICE,
        "local0",
        choices=("user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"),
        flags=FIXED,
    ),
    Option("syslog-ident", Kind.TEXT, "redis", flags=FIXED),
    Option("tcp-backlog", Kind.INTEGER, "511", low=0, high=INT_MAX, flags=FIXED, is_read=True),
    Option("tcp-keepalive", Kind.INTEGER, "300", low=0, high=INT_MAX, is_read=True),
    Option("timeout", Kind.INTEGER, "0", low=0, high=INT_MAX, is_read=True),
    Option("tls-auth-clients", Kind.CHOICE, "yes", choices=("no", "yes", "optional")),
    Option("tls-ca-cert-dir", Kind.TEXT, ""),
    Option("tls-ca-cert-file", Kind.TEXT, ""),
    Option("tls-cert-file", Kind.TEXT, ""),
    Option("tls-ciphers", Kind.TEXT, ""),
    Option("tls-ciphersuites", Kind.TEXT, ""),
    Option("tls-client-cert-file", Kind.TEXT, ""),
    Option("tls-client-key-file", Kind.TEXT, ""),
    Option("tls-client-key-file-pass", Kind.TEXT, "", flags=SECRET),
    Option("tls-cluster", Kind.YES_NO, "no"),
    Option("tls-dh-params-file", Kind.TEXT, ""),
    Option("tls-key-file", Kind.TEXT, ""),
    Option("tls-key-file-pass", Kind.TEXT, "", flags=SECRET),
    Option("tls-port", Kind.INTEGER, "0", low=0, high=65535),
    Option("tls-prefer-server-ciphers", Kind.YES_NO, "no"),
    Option("tls-protocols", Kind.TEXT, ""),
    Option("tls-replication", Kind.YES_NO, "no"),
    Option("tls-session-cache-size", Kind.INTEGER, "20480", low=0, high=INT_MAX),
    Option("tls-session-cache-timeout", Kind.INTEGER, "300", low=0, high=INT_MAX),
    Option("tls-session-caching", Kind.YES_NO, "yes"),
    Option("tracking-table-max-keys", Kind.INTEGER, "1000000", low=0, high=INT64_MAX, is_read=True),
    Option("unixsocket", Kind.TEXT, "", flags=FIXED, is_read=True),
    Option("unixsocketperm", Kind.OCTAL, "0", low=0, high=0o777, flags=FIXED, is_read=True),
    Option("use-exit-on-panic", Kind.YES_NO, "no", flags=HIDDEN),
    Option("watchdog-period", Kind.INTEGER, "0", low=0, high=INT_MAX, flags=HIDDEN),
    Option(
        "zset-max-listpack-entries",
        Kind.INTEGER,
        "128",
        low=0,
        high=INT64_MAX,
        alias="zset-max-ziplist-entries",
        is_read=True,
    ),
    Option(
        "zset-max-listpack-value",
        Kind.MEMORY,
        "64",
        low=0,
        high=INT64_MAX,
        alias="zset-max-ziplist-value",
        is_read=True,
    ),
)

# Directives of our own, for whoever starts the server in a test or beside a metrics collector; never listed.
OWN_OPTIONS: Final = (
    Option("console-port", Kind.INTEGER, "0", low=0, high=65535, flags=FIXED | HIDDEN, is_read=True),
    Option("exit-with-parent", Kind.YES_NO, "no", flags=FIXED | HIDDEN, is_read=True),
    Option("ready-file", Kind.TEXT, "", flags=FIXED | HIDDEN, is_read=True),
)

# Accepted in a file and ignored, as Redis does: (name, number of words with it).
DEPRECATED: Final = {"list-max-ziplist-entries": 2, "list-max-ziplist-value": 2, "lua-replicate-commands": 2}
