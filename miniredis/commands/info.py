"""INFO: what there is to know about the running server, in Redis's sections and under Redis's names.

Fields of what this server does not do (clusters, defragmentation, I/O threads …) are there with the value Redis gives
when it does not do it either: tools look for them. `used_memory` is counted (engine/memory.py): keys, values, buffers
and scripts, without the interpreter; what the process occupies altogether is `used_memory_rss`, and fragmentation is
what neither that nor the interpreter explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from miniredis.engine import state as state_bits
from miniredis.engine.call import Call
from miniredis.engine.observe import Command
from miniredis.engine.registry import LOADING, STALE, command
from miniredis.engine.settings import show_percentile
from miniredis.engine.version import VERSION
from miniredis.keyspace.blocked import Waiter
from miniredis.persist.aof import OFF, AppendOnly
from miniredis.persist.children import AOF, RDB
from miniredis.persist.snapshots import Loading
from miniredis.replication.follower import PHASE_NAMES, Phase
from protocol.resp.values import Reply, Verbatim

if TYPE_CHECKING:
    from miniredis.engine.scripts import Scripts

Fields = dict[str, Any]

_DEFAULT: Final = (
    "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats", "cluster",
    "keyspace",
)  # fmt: skip
_UNITS: Final = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K"))


@command("INFO [section [section ...]]", LOADING | STALE, acl=("dangerous",),
         tips=("nondeterministic_output", "request_policy:all_shards", "response_policy:special"),
         history=(("7.0.0", "Takes several sections."),))  # fmt: skip
def info(call: Call) -> Reply:
    """Tell about the server: everything usual, or the sections named."""
    wanted: set[str] = set()
    for word in call.argv[1:] or [b"default"]:
        name = word.decode("utf-8", "replace").lower()
        if name == "default":
            wanted.update(_DEFAULT)
        elif name in ("all", "everything"):
            wanted.update(_SECTIONS)
        else:
            wanted.add("modules" if name == "module_list" else name)
    texts = []
    for name, (title, section) in _SECTIONS.items():
        if name in wanted:
            lines = [f"# {title}", *[f"{field}:{value}" for field, value in section(call).items()]]
            texts.append("".join([line + "\r\n" for line in lines]))
    return Verbatim("\r\n".join(texts).encode("utf-8", "surrogateescape"))


def human(size: int) -> str:
    """Bytes for people: 894.84K."""
    for unit, letter in _UNITS:
        if size >= unit:
            return f"{size / unit:.2f}{letter}"
    return f"{size}B"


# ── sections ───────────────────────────────────────────────────────────────────────────────────────────


def _server(call: Call) -> Fields:
    state = call.state
    process, settings = state.process, state.settings
    now_us = state.clock.wall_us()
    uptime_s = max(0, (now_us // 1000 - state.started_at_ms) // 1000)
    fields: Fields = {
        "redis_version": VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "os": process.system(),
        "arch_bits": 64,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": "epoll",
        "atomicvar_api": "c11-builtin",
        "gcc_version": "0.0.0",
        "process_id": process.pid(),
        "process_supervised": "no",
        "run_id": state.run_id.decode(),
        "tcp_port": state.port,
        "server_time_usec": now_us,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86400,
        "hz": state.hz,
        "configured_hz": settings.hz,
        "lru_clock": (now_us // 1_000_000) & 0xFFFFFF,
        "executable": process.python(),
        "config_file": state.config.file,
        "io_threads_active": 0,
    }
    left_ms = state.ending.left_ms if state.ending is not None else None
    if left_ms is not None:
        fields["shutdown_in_milliseconds"] = left_ms
    for number, (kind, addresses, port) in enumerate(state.listening):
        bound = "".join([f",bind={address}" for address in addresses])
        fields[f"listener{number}"] = f"name={kind}{bound}" + (f",port={port}" if port else "")
    return fields


def _heeds_deletion(queue: Iterable[Waiter]) -> bool:
    """Whether somebody in the queue at a key wants to hear that the key goes away."""
    return any(waiter.on_deletion for waiter in queue)


def _clients(call: Call) -> Fields:
    state = call.state
    clients = state.clients.values()
    listening = [client for client in clients if client.channels or client.patterns or client.shard_channels]
    unready = state.engine.waiting
    replicas = len(state.replication.primary.followers) if state.replication is not None else 0
    waiting = [db.waiting for db in state.dbs]
    queues = [queue for keys in waiting for queue in keys.values()]
    return {
        "connected_clients": len(state.clients) - replicas,
        "cluster_connections": 0,
        "maxclients": state.settings.maxclients,
        "client_recent_max_input_buffer": max([client.buffered_bytes for client in clients], default=0),
        "client_recent_max_output_buffer": max([client.pending_bytes for client in clients], default=0),
        "blocked_clients": len(state.blocked) + len(unready.postponed) + len(unready.flushing) + len(unready.ending),
        "tracking_clients": state.engine.tracking.clients,
        "pubsub_clients": len(listening),
        "watching_clients": len([client for client in clients if client.watched]),
        "clients_in_timeout_table": len([waiter for waiter in state.blocked.waiters if waiter.deadline]),
        "total_watched_keys": len({watch for client in clients for watch in client.watched}),
        "total_blocking_keys": len(queues),
        "total_blocking_keys_on_nokey": sum(map(_heeds_deletion, queues)),
    }


def _memory(call: Call) -> Fields:
    state = call.state
    memory = state.engine.memory
    used, resident = memory.used_bytes(), state.process.resident_bytes()
    peak, overhead = memory.peak_bytes, memory.overhead_bytes()
    dataset = used - overhead
    total = state.process.total_memory_bytes()
    maxmemory = state.settings.maxmemory
    explained = used + state.interpreter_bytes
    backlog, beyond = memory.stream_bytes()
    return {
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": f"{used * 100 / peak:.2f}%",
        "used_memory_overhead": overhead,
        "used_memory_startup": memory.startup_bytes(),
        "used_memory_dataset": dataset,
        "used_memory_dataset_perc": f"{dataset * 100 / used:.2f}%",
        "allocator_allocated": used,
        "allocator_active": used,
        "allocator_resident": used,
        "allocator_muzzy": 0,
        "total_system_memory": total,
        "total_system_memory_human": human(total),
        **_script_memory(state.engine.scripts),
        "maxmemory": maxmemory,
        "maxmemory_human": human(maxmemory),
        "maxmemory_policy": state.settings.maxmemory_policy,
        "allocator_frag_ratio": "1.00",
        "allocator_frag_bytes": 0,
        "allocator_rss_ratio": "1.00",
        "allocator_rss_bytes": 0,
        "rss_overhead_ratio": f"{resident / used:.2f}",
        "rss_overhead_bytes": resident - used,
        "mem_fragmentation_ratio": f"{resident / explained:.2f}",
        "mem_fragmentation_bytes": resident - explained,
        "mem_not_counted_for_evict": beyond,
        "mem_replication_backlog": backlog,
        "mem_total_replication_buffers": backlog + beyond,
        "mem_clients_slaves": beyond,
        "mem_clients_normal": memory.client_bytes(),
        "mem_cluster_links": 0,
        "mem_aof_buffer": state.appending.file.waiting_bytes,
        "mem_allocator": "libc",
        "mem_overhead_db_hashtable_rehashing": 0,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": state.keyspace.waste.pending,
        "lazyfreed_objects": state.keyspace.waste.freed,
    }


def _script_memory(scripts: Scripts) -> Fields:
    """What scripts and functions take: their interpreters (`vm`), and what is kept of them beside."""
    of_scripts, of_functions = scripts.vm_bytes, scripts.functions.vm_bytes
    kept, kept_functions = scripts.size_bytes, scripts.functions.size_bytes
    return {
        "used_memory_lua": of_scripts,
        "used_memory_vm_eval": of_scripts,
        "used_memory_lua_human": human(of_scripts),
        "used_memory_scripts_eval": kept,
        "number_of_cached_scripts": len(scripts.known),
        "number_of_functions": len(scripts.functions.functions),
        "number_of_libraries": len(scripts.functions.by_name),
        "used_memory_vm_functions": of_functions,
        "used_memory_vm_total": of_scripts + of_functions,
        "used_memory_vm_total_human": human(of_scripts + of_functions),
        "used_memory_functions": kept_functions,
        "used_memory_scripts": kept + kept_functions,
        "used_memory_scripts_human": human(kept + kept_functions),
    }


def _persistence(call: Call) -> Fields:
    state = call.state
    snapshots = state.snapshots
    now_s = state.clock.wall_ms() // 1000
    children = snapshots.children
    is_saving = children.is_snapshot
    done, total = children.keys_done, children.keys_total
    copied_age_s = int(state.clock.monotonic() - children.copied_at) if children.copied_at else 0
    return {
        "loading": int(bool(state.mode & state_bits.LOADING)),
        "async_loading": int(bool(state.mode & state_bits.LOADING_BESIDE)),
        "current_cow_peak": children.copied_peak,
        "current_cow_size": children.copied_bytes,
        "current_cow_size_age": copied_age_s,
        "current_fork_perc": f"{100 * done / total if total else 0:.2f}",
        "current_save_keys_processed": done,
        "current_save_keys_total": total,
        "rdb_changes_since_last_save": state.dirty,
        "rdb_bgsave_in_progress": int(is_saving),
        "rdb_last_save_time": snapshots.last_save_s,
        "rdb_last_bgsave_status": "ok" if snapshots.is_last_good else "err",
        "rdb_last_bgsave_time_sec": snapshots.last_duration_s,
        "rdb_current_bgsave_time_sec": now_s - children.started_s if is_saving else -1,
        "rdb_saves": snapshots.saves,
        "rdb_last_cow_size": children.last_copied_bytes[RDB],
        "rdb_last_load_keys_expired": snapshots.keys_expired,
        "rdb_last_load_keys_loaded": snapshots.keys_loaded,
        **_rewriting(call),
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
        **(_appending(state.appending) if state.config["appendonly"] else {}),
        **(_loading(snapshots.loading, now_s) if snapshots.loading is not None else {}),
    }


def _rewriting(call: Call) -> Fields:
    """Of the append-only file, whether there is one or not."""
    appending, children = call.state.appending, call.state.snapshots.children
    is_rewriting = appending.is_rewriting
    return {
        "aof_enabled": int(appending.state != OFF),
        "aof_rewrite_in_progress": int(is_rewriting),
        "aof_rewrite_scheduled": int(appending.is_scheduled),
        "aof_last_rewrite_time_sec": appending.last_duration_s,
        "aof_current_rewrite_time_sec": call.state.clock.wall_ms() // 1000 - children.started_s if is_rewriting else -1,
        "aof_last_bgrewrite_status": "ok" if appending.is_last_good else "err",
        "aof_rewrites": appending.rewrites,
        "aof_rewrites_consecutive_failures": appending.failures,
        "aof_last_write_status": "err" if appending.file.error else "ok",
        "aof_last_cow_size": children.last_copied_bytes[AOF],
    }


def _appending(appending: AppendOnly) -> Fields:
    """Of the append-only file there is."""
    return {
        "aof_current_size": appending.size,
        "aof_base_size": appending.base_size,
        "aof_pending_rewrite": int(appending.is_scheduled),
        "aof_buffer_length": appending.file.waiting_bytes,
        "aof_pending_bio_fsync": int(appending.file.is_syncing),
        "aof_delayed_fsync": appending.file.delayed_syncs,
    }


def _loading(loading: Loading, now_s: int) -> Fields:
    reader = loading.reader
    done, total = reader.position, reader.size_bytes
    used = reader.aux.get(b"used-mem", b"0")
    return {
        "loading_start_time": loading.started_s,
        "loading_total_bytes": total,
        "loading_rdb_used_mem": int(used) if used.isdigit() else 0,
        "loading_loaded_bytes": done,
        "loading_loaded_perc": f"{100 * done / total if total else 0:.2f}",
        "loading_eta_seconds": (now_s - loading.started_s) * (total - done) // (done + 1),
    }


def _stats(call: Call) -> Fields:
    return {**_traffic(call), **_keys_and_listeners(call), **_replies(call)}


def _traffic(call: Call) -> Fields:
    state = call.state
    primary, rates, traffic = state.replication.primary, state.rates, state.traffic
    synchronizations = primary.statistics
    return {
        "total_connections_received": state.connections_received,
        "total_commands_processed": state.observer.calls,
        "instantaneous_ops_per_sec": round(rates.per_second("calls")),
        "total_net_input_bytes": traffic.input_bytes,
        "total_net_output_bytes": traffic.output_bytes,
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": synchronizations.sent_bytes + primary.fullsync.sent_bytes,
        "instantaneous_input_kbps": f"{rates.per_second('input_bytes') / 1024:.2f}",
        "instantaneous_output_kbps": f"{rates.per_second('output_bytes') / 1024:.2f}",
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": state.connections_rejected,
        "sync_full": synchronizations.full,
        "sync_partial_ok": synchronizations.partial_good,
        "sync_partial_err": synchronizations.partial_refused,
    }


def _keys_and_listeners(call: Call) -> Fields:
    state = call.state
    keyspace, tracking = state.keyspace, state.engine.tracking
    stale_percent, time_caps, expiry_us = state.expiry_told()
    short_ms, present_short_ms = state.engine.memory.short_ms()
    return {
        "expired_subkeys": keyspace.expired_fields,
        "expired_keys": keyspace.expired_keys,
        "expired_stale_perc": f"{stale_percent:.2f}",
        "expired_time_cap_reached_count": time_caps,
        "expire_cycle_cpu_milliseconds": expiry_us // 1000,
        "evicted_keys": keyspace.evicted_keys,
        "evicted_clients": state.engine.memory.evicted_clients,
        "evicted_scripts": state.engine.scripts.evicted,
        "total_eviction_exceeded_time": short_ms,
        "current_eviction_exceeded_time": present_short_ms,
        "keyspace_hits": keyspace.hits,
        "keyspace_misses": keyspace.misses,
        "pubsub_channels": len(state.pubsub.channels),
        "pubsub_patterns": len(state.pubsub.patterns),
        "pubsubshard_channels": len(state.pubsub.shard_channels),
        "latest_fork_usec": state.snapshots.children.fork_us,
        "total_forks": state.snapshots.children.forks,
        "migrate_cached_sockets": state.links_kept(),
        "slave_expires_tracked_keys": len(keyspace.own_deadlines or ()),
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": tracking.keys,
        "tracking_total_items": tracking.items,
        "tracking_total_prefixes": tracking.prefixes,
    }


def _replies(call: Call) -> Fields:
    state = call.state
    observer, rates, traffic = state.observer, state.rates, state.traffic
    return {
        "unexpected_error_replies": state.unexpected_errors,
        "total_error_replies": observer.error_replies,
        "dump_payload_sanitizations": state.sanitized_payloads,
        "total_reads_processed": traffic.reads,
        "total_writes_processed": traffic.writes,
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "client_query_buffer_limit_disconnections": traffic.query_buffer_disconnections,
        "client_output_buffer_limit_disconnections": traffic.output_buffer_disconnections,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "eventloop_cycles": traffic.turns,
        "eventloop_duration_sum": 0,
        "eventloop_duration_cmd_sum": sum([command.microseconds for command in observer.commands]),
        "instantaneous_eventloop_cycles_per_sec": round(rates.per_second("turns")),
        "instantaneous_eventloop_duration_usec": 0,
        "acl_access_denied_auth": state.access.refused_logins,
        "acl_access_denied_cmd": 0,
        "acl_access_denied_key": 0,
        "acl_access_denied_channel": 0,
    }


def _replication(call: Call) -> Fields:
    replication, history = call.state.replication, call.state.history
    primary, backlog = replication.primary, call.state.history.backlog
    upstream = replication.upstream
    settings = call.settings
    fields: Fields = {"role": "master"} if upstream is None else dict(upstream.info())
    fields["connected_slaves"] = len(primary.followers)
    if settings.min_replicas_to_write and settings.min_replicas_max_lag:
        fields["min_slaves_good_slaves"] = primary.good_replicas
    now = call.state.clock.monotonic()
    for number, follower in enumerate(primary.followers.values()):
        if follower.phase in PHASE_NAMES:
            lag = int(now - follower.ack_at) if follower.phase == Phase.ONLINE else 0
            fields[f"slave{number}"] = (
                f"ip={follower.address},port={follower.port},state={PHASE_NAMES[follower.phase]},"
                f"offset={follower.ack_offset},lag={lag}"
            )
    return fields | {
        "master_failover_state": replication.failover.stage.value,
        "master_replid": history.id.decode(),
        "master_replid2": history.second_id.decode(),
        "master_repl_offset": history.offset,
        "second_repl_offset": history.second_offset,
        "repl_backlog_active": int(backlog is not None),
        "repl_backlog_size": settings.repl_backlog_size,
        "repl_backlog_first_byte_offset": backlog.first + 1 if backlog is not None else 0,
        "repl_backlog_histlen": len(backlog) if backlog is not None else 0,
    }


def _cpu(call: Call) -> Fields:
    user, system = call.state.process.cpu_seconds()
    children_user, children_system = call.state.process.children_cpu_seconds()
    return {
        "used_cpu_sys": f"{system:.6f}",
        "used_cpu_user": f"{user:.6f}",
        "used_cpu_sys_children": f"{children_system:.6f}",
        "used_cpu_user_children": f"{children_user:.6f}",
        "used_cpu_sys_main_thread": f"{system:.6f}",
        "used_cpu_user_main_thread": f"{user:.6f}",
    }


def _modules(call: Call) -> Fields:
    return {}


def _commandstats(call: Call) -> Fields:
    fields: Fields = {}
    for each in call.state.observer.commands:
        if each.calls or each.rejected or each.failed:
            average = each.microseconds / each.calls if each.calls else 0.0
            fields["cmdstat_" + each.spec.name.decode()] = (
                f"calls={each.calls},usec={each.microseconds},usec_per_call={average:.2f},"
                f"rejected_calls={each.rejected},failed_calls={each.failed}"
            )
    return fields


def _errorstats(call: Call) -> Fields:
    errors = call.state.observer.errors
    return {
        "errorstat_" + code.decode("utf-8", "surrogateescape"): f"count={count}"
        for code, count in sorted(errors.items())
    }


def _latencystats(call: Call) -> Fields:
    if not call.settings.latency_tracking:
        return {}
    wanted = call.settings.latency_tracking_info_percentiles
    fields: Fields = {}
    for each in call.state.observer.commands:
        if each.calls:
            told = [f"p{show_percentile(share)}={_latency(each, share):.3f}" for share in wanted]
            fields["latency_percentiles_usec_" + each.spec.name.decode()] = ",".join(told)
    return fields


def _latency(each: Command, share: float) -> float:
    """Microseconds that so many percent of the calls stayed below: the upper end of the histogram's slot."""
    target = each.calls * share / 100
    seen = 0
    for slot, count in enumerate(each.histogram):
        seen += count
        if count and seen >= target:
            return float(2**slot)
    return 0.0


def _cluster(call: Call) -> Fields:
    return {"cluster_enabled": 0}


def _keyspace(call: Call) -> Fields:
    fields: Fields = {}
    for db in call.state.dbs:
        if len(db):
            told = db.statistics()
            fields[f"db{db.index}"] = (
                f"keys={told['keys']},expires={told['expires']},avg_ttl={told['avg_ttl']},subexpiry={told['subexpiry']}"
            )
    return fields


_SECTIONS: Final[dict[str, tuple[str, Callable[[Call], Fields]]]] = {
    "server": ("Server", _server),
    "clients": ("Clients", _clients),
    "memory": ("Memory", _memory),
    "persistence": ("Persistence", _persistence),
    "stats": ("Stats", _stats),
    "replication": ("Replication", _replication),
    "cpu": ("CPU", _cpu),
    "modules": ("Modules", _modules),
    "commandstats": ("Commandstats", _commandstats),
    "errorstats": ("Errorstats", _errorstats),
    "latencystats": ("Latencystats", _latencystats),
    "cluster": ("Cluster", _cluster),
    "keyspace": ("Keyspace", _keyspace),
}
