"""ApiVersions: what this listener serves, and which feature levels the cluster has settled on.

Kafka's quirks, kept because clients were written against them:
- The response header is v0 in every version, and a version we lack is answered with a v0 body and error 35 that lists
  ApiVersions itself (KIP-511); `session.py` sees to both.
- Produce is reported from version 0 although 0 to 2 are refused (KAFKA-18659): old librdkafka would otherwise decide
  that nothing can be compressed.
- A feature whose lowest level is 0 breaks older parsers, so below v4 it is left out (KAFKA-17492); a finalised level
  of 0 means "off" and is never told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from minikafka.api.context import Context
from minikafka.api.registry import Api, api
from minikafka.metadata.records import FEATURES
from protocol.kafka.errors import InvalidRequest, UnsupportedVersion
from protocol.kafka.messages.versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

NO_EPOCH = -1
FIRST_VERSION_WITH_SOFTWARE = 3
FIRST_VERSION_WITH_ZERO_LEVELS = 4

SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


@api(ApiVersionsRequest, 0, 4, listeners="BC")
def api_versions(broker: Context, request: ApiVersionsRequest) -> ApiVersionsResponse:
    """What may be asked here. From v3 on the client says who it is, which the connection remembers."""
    version = broker.api_version
    if version >= FIRST_VERSION_WITH_SOFTWARE:
        name, release = request.client_software_name, request.client_software_version
        if not SOFTWARE.fullmatch(name) or not SOFTWARE.fullmatch(release):
            raise InvalidRequest()
        broker.software_name, broker.software_version = name, release
    features = [
        SupportedFeatureKey(name=name, min_version=low, max_version=high)
        for name, (low, high, _) in FEATURES.items()
        if low > 0 or version >= FIRST_VERSION_WITH_ZERO_LEVELS
    ]
    levels = broker.image.features
    return ApiVersionsResponse(
        api_keys=ranges(row for row in broker.apis.values() if broker.side in row.listeners),
        supported_features=features,
        finalized_features_epoch=broker.image.offset,
        finalized_features=[
            FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
            for name, level in levels.items()
        ],
    )


def ranges(rows: Iterable[Api]) -> list[ApiVersion]:
    """The rows as they are told to clients, by key."""
    return [ApiVersion(api_key=row.key, min_version=row.reported_low, max_version=row.high) for row in rows]


def unsupported_version(broker: Context) -> ApiVersionsResponse:
    """The answer, in v0, to a version of ApiVersions that is not served."""
    row = broker.apis[ApiVersionsRequest.api_key]
    return ApiVersionsResponse(error_code=UnsupportedVersion.code, api_keys=ranges([row]))
