"""Messages of version discovery: the first thing a client asks."""

from __future__ import annotations

from protocol.kafka.schema import Request, Response, Struct, field, i16, i32, i64


class ApiVersion(Struct):
    api_key: i16
    min_version: i16
    max_version: i16


class SupportedFeatureKey(Struct):
    name: str
    min_version: i16
    max_version: i16


class FinalizedFeatureKey(Struct):
    name: str
    max_version_level: i16
    min_version_level: i16


class ApiVersionsResponse(Response, versions=(0, 4), flexible=3, plain_header=True):
    error_code: i16 = 0
    api_keys: list[ApiVersion] = field()
    throttle_time_ms: i32 = field(1)  # since v1
    supported_features: list[SupportedFeatureKey] = field(3, tag=0)  # since v3
    finalized_features_epoch: i64 = field(3, default=-1, tag=1)  # since v3
    finalized_features: list[FinalizedFeatureKey] = field(3, tag=2)  # since v3
    zk_migration_ready: bool = field(3, tag=3)  # since v3


class ApiVersionsRequest(Request, key=18, versions=(0, 4), flexible=3, reply=ApiVersionsResponse):
    """Which requests, in which versions, and which features do you know?"""

    client_software_name: str = field(3)  # since v3
    client_software_version: str = field(3)  # since v3
