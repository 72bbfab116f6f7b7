"""Messages of authentication, access control, credentials, delegation tokens and quotas."""

from __future__ import annotations

from protocol.kafka.schema import Message, Request, Response, Struct, f64, field, i8, i16, i32, i64


class SaslHandshakeResponse(Response, versions=(0, 1)):
    error_code: i16 = 0
    mechanisms: list[str] = field()


class SaslHandshakeRequest(Request, key=17, versions=(0, 1), reply=SaslHandshakeResponse):
    """This mechanism, please."""

    mechanism: str


class SaslAuthenticateResponse(Response, versions=(0, 2), flexible=2):
    error_code: i16 = 0
    error_message: str | None = None
    auth_bytes: bytes = b""
    session_lifetime_ms: i64 = field(1)  # since v1


class SaslAuthenticateRequest(Request, key=36, versions=(0, 2), flexible=2, reply=SaslAuthenticateResponse):
    """One step of the mechanism's own conversation."""

    auth_bytes: bytes


class AclDescription(Struct):
    principal: str
    host: str
    operation: i8
    permission_type: i8


class DescribeAclsResource(Struct):
    resource_type: i8
    resource_name: str
    pattern_type: i8 = 3
    acls: list[AclDescription]


class DescribeAclsResponse(Response, versions=(1, 3), flexible=2):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    resources: list[DescribeAclsResource] = field()


class DescribeAclsRequest(Request, key=29, versions=(1, 3), flexible=2, reply=DescribeAclsResponse):
    """Which rules match this pattern?"""

    resource_type_filter: i8
    resource_name_filter: str | None
    pattern_type_filter: i8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: i8
    permission_type: i8


class AclCreationResult(Struct):
    error_code: i16 = 0
    error_message: str | None = None


class CreateAclsResponse(Response, versions=(1, 3), flexible=2):
    throttle_time_ms: i32 = 0
    results: list[AclCreationResult] = field()


class AclCreation(Struct):
    resource_type: i8
    resource_name: str
    resource_pattern_type: i8 = 3
    principal: str
    host: str
    operation: i8
    permission_type: i8


class CreateAclsRequest(Request, key=30, versions=(1, 3), flexible=2, reply=CreateAclsResponse):
    """Add rules."""

    creations: list[AclCreation]


class DeleteAclsMatchingAcl(Struct):
    error_code: i16 = 0
    error_message: str | None = None
    resource_type: i8
    resource_name: str
    pattern_type: i8 = 3
    principal: str
    host: str
    operation: i8
    permission_type: i8


class DeleteAclsFilterResult(Struct):
    error_code: i16 = 0
    error_message: str | None = None
    matching_acls: list[DeleteAclsMatchingAcl]


class DeleteAclsResponse(Response, versions=(1, 3), flexible=2):
    throttle_time_ms: i32 = 0
    filter_results: list[DeleteAclsFilterResult] = field()


class DeleteAclsFilter(Struct):
    resource_type_filter: i8
    resource_name_filter: str | None
    pattern_type_filter: i8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: i8
    permission_type: i8


class DeleteAclsRequest(Request, key=31, versions=(1, 3), flexible=2, reply=DeleteAclsResponse):
    """Remove the rules that match."""

    filters: list[DeleteAclsFilter]


class CredentialInfo(Struct):
    mechanism: i8
    iterations: i32


class DescribeUserScramCredentialsResult(Struct):
    user: str
    error_code: i16 = 0
    error_message: str | None = None
    credential_infos: list[CredentialInfo]


class DescribeUserScramCredentialsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    results: list[DescribeUserScramCredentialsResult] = field()


class UserName(Struct):
    name: str


class DescribeUserScramCredentialsRequest(
    Request, key=50, versions=(0, 0), flexible=0, reply=DescribeUserScramCredentialsResponse
):
    """Which SCRAM credentials have these users (KIP-554)? null asks for all."""

    users: list[UserName] | None


class AlterUserScramCredentialsResult(Struct):
    user: str
    error_code: i16 = 0
    error_message: str | None = None


class AlterUserScramCredentialsResponse(Response, versions=(0, 0), flexible=0):
    throttle_time_ms: i32 = 0
    results: list[AlterUserScramCredentialsResult] = field()


class ScramCredentialDeletion(Struct):
    name: str
    mechanism: i8


class ScramCredentialUpsertion(Struct):
    name: str
    mechanism: i8
    iterations: i32
    salt: bytes
    salted_password: bytes


class AlterUserScramCredentialsRequest(
    Request, key=51, versions=(0, 0), flexible=0, reply=AlterUserScramCredentialsResponse
):
    """Set or remove SCRAM credentials (KIP-554)."""

    deletions: list[ScramCredentialDeletion]
    upsertions: list[ScramCredentialUpsertion]


class CreateDelegationTokenResponse(Response, versions=(1, 3), flexible=2):
    error_code: i16 = 0
    principal_type: str = ""
    principal_name: str = ""
    token_requester_principal_type: str = field(3)  # since v3
    token_requester_principal_name: str = field(3)  # since v3
    issue_timestamp_ms: i64 = 0
    expiry_timestamp_ms: i64 = 0
    max_timestamp_ms: i64 = 0
    token_id: str = ""
    hmac: bytes = b""
    throttle_time_ms: i32 = 0


class CreatableRenewers(Struct):
    principal_type: str
    principal_name: str


class CreateDelegationTokenRequest(Request, key=38, versions=(1, 3), flexible=2, reply=CreateDelegationTokenResponse):
    """A token for me, to be handed on (KIP-48)."""

    owner_principal_type: str | None = field(3)  # since v3
    owner_principal_name: str | None = field(3)  # since v3
    renewers: list[CreatableRenewers]
    max_lifetime_ms: i64


class RenewDelegationTokenResponse(Response, versions=(1, 2), flexible=2):
    error_code: i16 = 0
    expiry_timestamp_ms: i64 = 0
    throttle_time_ms: i32 = 0


class RenewDelegationTokenRequest(Request, key=39, versions=(1, 2), flexible=2, reply=RenewDelegationTokenResponse):
    """Let this token live longer."""

    hmac: bytes
    renew_period_ms: i64


class ExpireDelegationTokenResponse(Response, versions=(1, 2), flexible=2):
    error_code: i16 = 0
    expiry_timestamp_ms: i64 = 0
    throttle_time_ms: i32 = 0


class ExpireDelegationTokenRequest(Request, key=40, versions=(1, 2), flexible=2, reply=ExpireDelegationTokenResponse):
    """End this token, now or then."""

    hmac: bytes
    expiry_time_period_ms: i64


class DescribedDelegationTokenRenewer(Struct):
    principal_type: str
    principal_name: str


class DescribedDelegationToken(Struct):
    principal_type: str
    principal_name: str
    token_requester_principal_type: str = field(3)  # since v3
    token_requester_principal_name: str = field(3)  # since v3
    issue_timestamp: i64
    expiry_timestamp: i64
    max_timestamp: i64
    token_id: str
    hmac: bytes
    renewers: list[DescribedDelegationTokenRenewer]


class DescribeDelegationTokenResponse(Response, versions=(1, 3), flexible=2):
    error_code: i16 = 0
    tokens: list[DescribedDelegationToken] = field()
    throttle_time_ms: i32 = 0


class DescribeDelegationTokenOwner(Struct):
    principal_type: str
    principal_name: str


class DescribeDelegationTokenRequest(
    Request, key=41, versions=(1, 3), flexible=2, reply=DescribeDelegationTokenResponse
):
    """Which tokens have these owners? null asks for all."""

    owners: list[DescribeDelegationTokenOwner] | None


class EntityData(Struct):
    entity_type: str
    entity_name: str | None


class DescribeClientQuotasValueData(Struct):
    key: str
    value: f64


class DescribeClientQuotasEntryData(Struct):
    entity: list[EntityData]
    values: list[DescribeClientQuotasValueData]


class DescribeClientQuotasResponse(Response, versions=(0, 1), flexible=1):
    throttle_time_ms: i32 = 0
    error_code: i16 = 0
    error_message: str | None = None
    entries: list[DescribeClientQuotasEntryData] | None = None


class DescribeClientQuotasComponentData(Struct):
    entity_type: str
    match_type: i8
    match: str | None


class DescribeClientQuotasRequest(Request, key=48, versions=(0, 1), flexible=1, reply=DescribeClientQuotasResponse):
    """Which quotas match (KIP-546)?"""

    components: list[DescribeClientQuotasComponentData]
    strict: bool


class AlterClientQuotasResponseEntryData(Struct):
    error_code: i16 = 0
    error_message: str | None = None
    entity: list[EntityData]


class AlterClientQuotasResponse(Response, versions=(0, 1), flexible=1):
    throttle_time_ms: i32 = 0
    entries: list[AlterClientQuotasResponseEntryData] = field()


class AlterClientQuotasOpData(Struct):
    key: str
    value: f64
    remove: bool


class AlterClientQuotasRequestEntryData(Struct):
    entity: list[EntityData]
    ops: list[AlterClientQuotasOpData]


class AlterClientQuotasRequest(Request, key=49, versions=(0, 1), flexible=1, reply=AlterClientQuotasResponse):
    """Set or remove quotas (KIP-546)."""

    entries: list[AlterClientQuotasRequestEntryData]
    validate_only: bool


class DefaultPrincipalData(Message, versions=(0, 0), flexible=0):
    """A principal on its way to the controller, inside an Envelope."""

    type: str
    name: str
    token_authenticated: bool
