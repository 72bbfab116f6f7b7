"""Messages of a broker in its cluster: registration, heartbeats, features, and what clients may know of it."""

from __future__ import annotations

from protocol.kafka.schema import Request, Response, Struct, Uuid, field, i8, i16, i32, i64, u16


class DescribeClusterBroker(Struct):
    broker_id: i32
    host: str
    port: i32
    rack: str | None = None
    is_fenced: bool = field(2)  # since v2


class DescribeClusterResponse(Response, versions=(0, 2), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    endpoint_type: i8 = field(1, default=1)  # since v1
    cluster_id: str = ""
    controller_id: i32 = -1
    brokers: list[DescribeClusterBroker] = field()
    cluster_authorized_operations: i32 = -2147483648


class DescribeClusterRequest(Request, key=60, versions=(0, 2), flexible=0, reply=DescribeClusterResponse):
    """Which brokers or controllers are there, and who is in charge (KIP-700)?"""

    include_cluster_authorized_operations: bool
    endpoint_type: i8 = field(1, default=1)  # since v1
    include_fenced_brokers: bool = field(2)  # since v2


class BrokerRegistrationResponse(Response, versions=(0, 4), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    broker_epoch: i64 = -1


class Listener(Struct):
    name: str
    host: str
    port: u16
    security_protocol: i16


class Feature(Struct):
    name: str
    min_supported_version: i16
    max_supported_version: i16


class BrokerRegistrationRequest(Request, key=62, versions=(0, 4), flexible=0, reply=BrokerRegistrationResponse):
    """I am a broker of this cluster, reachable there, with these disks."""

    broker_id: i32
    cluster_id: str
    incarnation_id: Uuid
    listeners: list[Listener]
    features: list[Feature]
    rack: str | None
    is_migrating_zk_broker: bool = field(1)  # since v1
    log_dirs: list[Uuid] = field(2)  # since v2
    previous_broker_epoch: i64 = field(3, default=-1)  # since v3


class BrokerHeartbeatResponse(Response, versions=(0, 2), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    is_caught_up: bool = False
    is_fenced: bool = True
    should_shut_down: bool = False


class BrokerHeartbeatRequest(Request, key=63, versions=(0, 2), flexible=0, reply=BrokerHeartbeatResponse):
    """I am still here, have read the metadata up to there, and want in, or out."""

    broker_id: i32
    broker_epoch: i64 = -1
    current_metadata_offset: i64
    want_fence: bool
    want_shut_down: bool
    offline_log_dirs: list[Uuid] = field(1, tag=0)  # since v1
    cordoned_log_dirs: list[Uuid] | None = field(2, tag=1)  # since v2


class UnregisterBrokerResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None


class UnregisterBrokerRequest(Request, key=64, versions=(0, 0), flexible=0, reply=UnregisterBrokerResponse):
    """Forget this broker."""

    broker_id: i32


class ControllerRegistrationResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None


class ControllerRegistrationRequest(Request, key=70, versions=(0, 0), flexible=0, reply=ControllerRegistrationResponse):
    """I am a controller of this cluster, reachable there."""

    controller_id: i32
    incarnation_id: Uuid
    zk_migration_ready: bool
    listeners: list[Listener]
    features: list[Feature]


class UpdatableFeatureResult(Struct):
    feature: str
    error_code: i16 = 0
    error_message: str | None = None


class UpdateFeaturesResponse(Response, versions=(0, 2), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    results: list[UpdatableFeatureResult] = field(0, 1)  # until v1


class FeatureUpdateKey(Struct):
    feature: str
    max_version_level: i16
    allow_downgrade: bool = field(0, 0)  # until v0
    upgrade_type: i8 = field(1, default=1)  # since v1


class UpdateFeaturesRequest(Request, key=57, versions=(0, 2), flexible=0, reply=UpdateFeaturesResponse):
    """Raise or lower the level of features (KIP-584)."""

    timeout_ms: i32 = 60000
    feature_updates: list[FeatureUpdateKey]
    validate_only: bool = field(1)  # since v1
