"""Messages that read and change configuration."""

from __future__ import annotations

from protocol.kafka.schema import Request, Response, Struct, field, i8, i16, i32


class DescribeConfigsSynonym(Struct):
    name: str
    value: str | None
    source: i8


class DescribeConfigsResourceResult(Struct):
    name: str
    value: str | None
    read_only: bool
    config_source: i8 = -1
    is_sensitive: bool
    synonyms: list[DescribeConfigsSynonym]
    config_type: i8 = field(3)  # since v3
    documentation: str | None = field(3)  # since v3


class DescribeConfigsResult(Struct):
    error_code: i16 = 0
    error_message: str | None = None
    resource_type: i8
    resource_name: str
    configs: list[DescribeConfigsResourceResult]


class DescribeConfigsResponse(Response, versions=(1, 4), flexible=4):
    throttle_time_ms: i32 = 0
    results: list[DescribeConfigsResult] = field()


class DescribeConfigsResource(Struct):
    resource_type: i8
    resource_name: str
    configuration_keys: list[str] | None


class DescribeConfigsRequest(Request, key=32, versions=(1, 4), flexible=4, reply=DescribeConfigsResponse):
    """What is configured, where does each value come from, and what does it mean?"""

    resources: list[DescribeConfigsResource]
    include_synonyms: bool = False
    include_documentation: bool = field(3)  # since v3


class AlterConfigsResourceResponse(Struct):
    error_code: i16 = 0
    error_message: str | None = None
    resource_type: i8
    resource_name: str


class AlterConfigsResponse(Response, versions=(0, 2), flexible=2):
    throttle_time_ms: i32 = 0
    responses: list[AlterConfigsResourceResponse] = field()


class AlterableConfig(Struct):
    name: str
    value: str | None


class AlterConfigsResource(Struct):
    resource_type: i8
    resource_name: str
    configs: list[AlterableConfig]


class AlterConfigsRequest(Request, key=33, versions=(0, 2), flexible=2, reply=AlterConfigsResponse):
    """Let these be all the settings of a resource (the old way: what is not named is reset)."""

    resources: list[AlterConfigsResource]
    validate_only: bool


class IncrementalAlterConfigsResponse(Response, versions=(0, 1), flexible=1):
    throttle_time_ms: i32 = 0
    responses: list[AlterConfigsResourceResponse] = field()


class IncrementalAlterableConfig(Struct):
    name: str
    config_operation: i8
    value: str | None


class IncrementalAlterConfigsResource(Struct):
    resource_type: i8
    resource_name: str
    configs: list[IncrementalAlterableConfig]


class IncrementalAlterConfigsRequest(
    Request, key=44, versions=(0, 1), flexible=1, reply=IncrementalAlterConfigsResponse
):
    """Set, delete, append to or subtract from single settings (KIP-339)."""

    resources: list[IncrementalAlterConfigsResource]
    validate_only: bool


class ConfigResource(Struct):
    resource_name: str
    resource_type: i8 = field(1, default=16)  # since v1


class ListConfigResourcesResponse(Response, versions=(0, 1), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    config_resources: list[ConfigResource] = field()


class ListConfigResourcesRequest(Request, key=74, versions=(0, 1), flexible=0, reply=ListConfigResourcesResponse):
    """Which resources of these types have settings (KIP-1142)?"""

    resource_types: list[i8] = field(1)  # since v1
