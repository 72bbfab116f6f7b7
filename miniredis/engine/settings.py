"""The settings commands read: one frozen object per moment, swapped whole by CONFIG SET.

Law: `miniredis/config.py` makes it from redis.conf's directives; nothing here or below reads a directive by name.
Thresholds are fields and never module constants: CONFIG SET changes them while the server runs.
"""

from __future__ import annotations

from dataclasses import dataclass


def show_percentile(value: float) -> str:
    """A percentile as CONFIG GET and INFO latencystats write it: six places, zeros at the end dropped."""
    return f"{value:f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Settings:
    """Field names are redis.conf's with underscores, defaults are Redis 7.4's."""

    hash_max_listpack_entries: int = 512
    hash_max_listpack_value: int = 64
    list_max_listpack_size: int = -2
    list_compress_depth: int = 0
    set_max_intset_entries: int = 512
    set_max_listpack_entries: int = 128
    set_max_listpack_value: int = 64
    hll_sparse_max_bytes: int = 3000
    zset_max_listpack_entries: int = 128
    zset_max_listpack_value: int = 64
    stream_node_max_bytes: int = 4096
    stream_node_max_entries: int = 100
    proto_max_bulk_len: int = 512 * 1024 * 1024
    client_query_buffer_limit: int = 1024 * 1024 * 1024
    # class -> (hard bytes, soft bytes, soft seconds); 0 is no limit
    output_limit_normal: tuple[int, int, int] = (0, 0, 0)
    output_limit_replica: tuple[int, int, int] = (268435456, 67108864, 60)
    output_limit_pubsub: tuple[int, int, int] = (33554432, 8388608, 60)
    maxclients: int = 10000
    timeout: int = 0
    tcp_keepalive: int = 300
    hz: int = 10
    dynamic_hz: bool = True
    active_expire_effort: int = 1
    notify_keyspace_events: int = 0
    busy_reply_threshold: int = 5000
    slowlog_log_slower_than: int = 10000
    latency_monitor_threshold: int = 0
    slowlog_max_len: int = 128
    latency_tracking: bool = True
    latency_tracking_info_percentiles: tuple[float, ...] = (50.0, 99.0, 99.9)
    lazyfree_lazy_expire: bool = False
    lazyfree_lazy_eviction: bool = False
    lazyfree_lazy_server_del: bool = False
    tracking_table_max_keys: int = 1_000_000
    maxmemory: int = 0
    maxmemory_clients: int = 0
    maxmemory_policy: str = "noeviction"
    maxmemory_samples: int = 5
    maxmemory_eviction_tenacity: int = 10
    replica_ignore_maxmemory: bool = True
    lfu_log_factor: int = 10
    lfu_decay_time: int = 1
    dir: str = "."
    dbfilename: str = "dump.rdb"
    save: tuple[tuple[int, int], ...] = ()  # (seconds, changes): as many in so long are saved
    rdbcompression: bool = True
    rdbchecksum: bool = True
    rdb_save_incremental_fsync: bool = True
    rdb_key_save_delay: int = 0  # µs
    key_load_delay: int = 0  # µs
    loading_process_events_interval_bytes: int = 2 * 1024 * 1024
    stop_writes_on_bgsave_error: bool = True
    repl_backlog_size: int = 1024 * 1024
    repl_backlog_ttl: int = 3600  # seconds
    repl_diskless_sync: bool = True
    repl_diskless_sync_delay: int = 5  # seconds
    repl_diskless_sync_max_replicas: int = 0
    repl_ping_replica_period: int = 10  # seconds
    repl_timeout: int = 60  # seconds
    min_replicas_to_write: int = 0
    min_replicas_max_lag: int = 10  # seconds
    appendfsync: str = "everysec"
    appendfilename: str = "appendonly.aof"
    appenddirname: str = "appendonlydir"
    no_appendfsync_on_rewrite: bool = False
    auto_aof_rewrite_percentage: int = 100
    auto_aof_rewrite_min_size: int = 64 * 1024 * 1024
    aof_load_truncated: bool = True
    aof_use_rdb_preamble: bool = True
    aof_timestamp_enabled: bool = False
    aof_rewrite_incremental_fsync: bool = True
    aof_disable_auto_gc: bool = False
    propagation_error_behavior: str = "ignore"
    shutdown_timeout: int = 10  # seconds
    shutdown_on_sigint: tuple[str, ...] = ("default",)
    shutdown_on_sigterm: tuple[str, ...] = ("default",)
    sanitize_dump_payload: str = "no"
    enable_debug_command: str = "no"
    enable_protected_configs: str = "no"
