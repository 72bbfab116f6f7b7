"""Groups: who coordinates them, the classic protocol, and their administration.

Each handler checks rights and the shape of the request, translates what only some versions have, and hands the rest
to the coordinator. One reply of a former version holds one group or one member where later ones hold many.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

from minikafka.api.context import Context
from minikafka.api.registry import Operation, Resource, api
from minikafka.api.topics import address, operations
from minikafka.coordinator.classic import refused_join, refused_sync
from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import Caller
from minikafka.coordinator.runtime import GROUP_TOPIC, grouped_by_shard
from protocol.kafka.errors import (
    CoordinatorLoadInProgress,
    CoordinatorNotAvailable,
    GroupAuthorizationFailed,
    InconsistentGroupProtocol,
    InvalidGroupId,
    InvalidRequest,
    InvalidSessionTimeout,
    KafkaError,
    NotCoordinator,
    TransactionalIdAuthorizationFailed,
    UnsupportedVersion,
)
from protocol.kafka.messages.groups import (
    Coordinator,
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
    MemberIdentity,
    SyncGroupRequest,
)
from protocol.kafka.schema import each

NO_NODE = (-1, "", -1)
GROUP, TRANSACTION, SHARE = 0, 1, 2  # FindCoordinator's key types
TRANSACTIONS_MISSING = "This broker does not coordinate transactions."

REBALANCE_TIMEOUT_SINCE = 1  # JoinGroup version; before it the session timeout was both
NULL_PROTOCOL_SINCE = 7  # JoinGroup version
PROTOCOL_MANDATORY_SINCE = 5  # SyncGroup version
MANY_MEMBERS_SINCE = 3  # LeaveGroup version
MANY_KEYS_SINCE = 4  # FindCoordinator version
GROUP_RIGHTS = (
    Operation.READ,
    Operation.DELETE,
    Operation.DESCRIBE,
    Operation.DESCRIBE_CONFIGS,
    Operation.ALTER_CONFIGS,
)
NOT_ASKED = -(1 << 31)
GROUPS_A_SLICE = 500  # asked for by one request, sorted by their shards at a time


def caller_of(broker: Context) -> Caller:
    """Who asks, as a coordinator wants to know it."""
    return Caller(broker.client_id or "", f"/{broker.client_host}", broker.api_version)


# ---- who coordinates


@api(FindCoordinatorRequest, 0, 6)
def find_coordinator(broker: Context, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """Name the broker that leads the partition a group belongs to (KIP-699 asks for many at once)."""

    def found(key: str) -> Coordinator:
        node, code, text = _coordinator(broker, request.key_type, key)
        if request.key_type in (GROUP, SHARE):
            text = ""  # where many are asked for, Kafka tells the code alone
        return Coordinator(key=key, node_id=node[0], host=node[1], port=node[2], error_code=code, error_message=text)

    if broker.api_version >= MANY_KEYS_SINCE:
        return FindCoordinatorResponse(coordinators=each(request.coordinator_keys, found))
    node, code, text = _coordinator(broker, request.key_type, request.key)
    return FindCoordinatorResponse(
        error_code=code, error_message=text or "NONE", node_id=node[0], host=node[1], port=node[2]
    )


def _coordinator(broker: Context, key_type: int, key: str) -> tuple[tuple[int, str, int], int, str | None]:
    """The node (id, host, port), or an error code and its text."""
    try:
        return _group_coordinator(broker, key_type, key), 0, ""
    except KafkaError as error:
        return NO_NODE, error.code, str(error)


def _group_coordinator(broker: Context, key_type: int, key: str) -> tuple[int, str, int]:
    if key_type == TRANSACTION:
        if not broker.may(Operation.DESCRIBE, Resource.TRANSACTIONAL_ID, key):
            raise TransactionalIdAuthorizationFailed()
        raise UnsupportedVersion(TRANSACTIONS_MISSING)
    if key_type != GROUP:
        raise InvalidRequest()
    if not broker.may(Operation.DESCRIBE, Resource.GROUP, key):
        raise GroupAuthorizationFailed()
    topic = broker.image.topics.get(GROUP_TOPIC)
    if topic is None:
        broker.groups.want_topic(len(broker.image.usable_brokers()))
        raise CoordinatorNotAvailable()
    partition = topic.partitions.get(broker.groups.index_of(key))
    leader = None if partition is None else broker.image.brokers.get(partition.leader)
    end = None if leader is None else leader.endpoints.get(broker.listener)
    if leader is None or end is None or leader.is_fenced:
        raise CoordinatorNotAvailable()
    return leader.id, *address(broker, leader, end)


# ---- the classic protocol


@api(JoinGroupRequest, 0, 9)
def join_group(broker: Context, request: JoinGroupRequest) -> Any:
    """Become a member of the next generation; the answer comes when that is decided."""
    version = broker.api_version
    if version < REBALANCE_TIMEOUT_SINCE:
        request.rebalance_timeout_ms = request.session_timeout_ms

    def adapt(response: JoinGroupResponse) -> JoinGroupResponse:
        if version < NULL_PROTOCOL_SINCE and response.protocol_name is None:
            response.protocol_name = ""
        return response

    broker.allow(Operation.READ, Resource.GROUP, request.group_id)
    settings = broker.groups.settings
    if request.group_id == "":
        return adapt(refused_join(InvalidGroupId.code, request.member_id))
    if not settings.min_session_timeout_ms <= request.session_timeout_ms <= settings.max_session_timeout_ms:
        return adapt(refused_join(InvalidSessionTimeout.code, request.member_id))
    return broker.groups.ask(
        request.group_id,
        Groups.join,
        request,
        caller_of(broker),
        lambda code: refused_join(code, ""),
        adapt,
    )


@api(SyncGroupRequest, 0, 5)
def sync_group(broker: Context, request: SyncGroupRequest) -> Any:
    """Fetch one's assignment, as the leader hand in everybody's."""
    if broker.api_version >= PROTOCOL_MANDATORY_SINCE and None in (request.protocol_type, request.protocol_name):
        raise InconsistentGroupProtocol()
    broker.allow(Operation.READ, Resource.GROUP, request.group_id)
    if request.group_id == "":
        raise InvalidGroupId()
    return broker.groups.ask(
        request.group_id,
        Groups.sync,
        request,
        caller_of(broker),
        refused_sync,
    )


@api(HeartbeatRequest, 0, 4)
def heartbeat(broker: Context, request: HeartbeatRequest) -> Any:
    """Stay a member. While the group is being loaded everybody is believed to be one."""
    broker.allow(Operation.READ, Resource.GROUP, request.group_id)
    if request.group_id == "":
        raise InvalidGroupId()
    return broker.groups.ask(
        request.group_id,
        Groups.heartbeat,
        request,
        caller_of(broker),
        lambda code: HeartbeatResponse(error_code=0 if code == CoordinatorLoadInProgress.code else code),
    )


@api(LeaveGroupRequest, 0, 5)
def leave_group(broker: Context, request: LeaveGroupRequest) -> Any:
    """Leave, or remove others (KIP-345)."""
    broker.allow(Operation.READ, Resource.GROUP, request.group_id)
    if request.group_id == "":
        raise InvalidGroupId()
    has_many = broker.api_version >= MANY_MEMBERS_SINCE

    def adapt(response: LeaveGroupResponse) -> LeaveGroupResponse:
        if not has_many and response.members:
            response.error_code = response.members[0].error_code
        return response

    return broker.groups.ask(
        request.group_id,
        Groups.leave,
        (request.group_id, request.members if has_many else [MemberIdentity(member_id=request.member_id)]),
        caller_of(broker),
        lambda code: LeaveGroupResponse(error_code=code),
        adapt,
    )


# ---- administration


@api(DescribeGroupsRequest, 0, 6)
def describe_groups(broker: Context, request: DescribeGroupsRequest) -> Any:
    """State and members of groups of the classic type."""
    nobody: list[DescribedGroupMember] = []  # one for all of them: tens of thousands may be asked for
    undescribed = partial(_undescribed, nobody)
    allowed, refused = [], []
    for group_id in request.groups:
        if broker.may(Operation.DESCRIBE, Resource.GROUP, group_id):
            allowed.append(group_id)
        else:
            refused.append(undescribed(group_id, GroupAuthorizationFailed.code))
    include_rights = request.include_authorized_operations

    def combine(answers: list[list[DescribedGroup]]) -> DescribeGroupsResponse:
        groups = refused
        for answer in answers:
            groups += answer
        if include_rights:
            for group in groups:
                if group.error_code == 0:
                    group.authorized_operations = operations(broker, Resource.GROUP, GROUP_RIGHTS, group.group_id)
        return DescribeGroupsResponse(groups=groups)

    return _ask_shards(
        broker,
        allowed,
        Groups.describe,
        undescribed,
        combine,
    )


def _undescribed(nobody: list[DescribedGroupMember], group_id: str, code: int) -> DescribedGroup:
    return DescribedGroup(
        error_code=code, group_id=group_id, group_state="", protocol_type="", protocol_data="", members=nobody
    )


@api(ListGroupsRequest, 0, 5)
def list_groups(broker: Context, request: ListGroupsRequest) -> Any:
    """Every group whose coordinator this broker is."""
    asked = (request.states_filter, request.types_filter)
    caller = caller_of(broker)
    answers = [
        broker.groups.ask_shard(index, Groups.list_all, asked, caller, _Refusal)
        for index in sorted(broker.groups.shards)
    ]

    def combine(lists: list[list[ListedGroup] | _Refusal]) -> ListGroupsResponse:
        found: list[ListedGroup] = []
        for listed in lists:
            if isinstance(listed, _Refusal):
                if listed.code != NotCoordinator.code:
                    return ListGroupsResponse(error_code=listed.code, groups=[])
            else:
                found.extend(listed)
        if not broker.may(Operation.DESCRIBE, Resource.CLUSTER):
            found = [group for group in found if broker.may(Operation.DESCRIBE, Resource.GROUP, group.group_id)]
        return ListGroupsResponse(groups=found)

    return broker.groups.gather(answers, combine)


class _Refusal:
    """A shard that could not list its groups."""

    def __init__(self, code: int) -> None:
        self.code = code


@api(DeleteGroupsRequest, 0, 2)
def delete_groups(broker: Context, request: DeleteGroupsRequest) -> Any:
    """Forget groups without members, and their offsets."""
    allowed, refused = [], []
    for group_id in dict.fromkeys(request.groups_names):
        if broker.may(Operation.DELETE, Resource.GROUP, group_id):
            allowed.append(group_id)
        else:
            refused.append(DeletableGroupResult(group_id=group_id, error_code=GroupAuthorizationFailed.code))

    def combine(answers: list[list[DeletableGroupResult]]) -> DeleteGroupsResponse:
        return DeleteGroupsResponse(results=[result for answer in answers for result in answer] + refused)

    return _ask_shards(
        broker,
        allowed,
        Groups.delete,
        lambda group_id, code: DeletableGroupResult(group_id=group_id, error_code=code),
        combine,
    )


def _ask_shards(broker: Context, group_ids: list[str], operation: Any, refuse_one: Any, combine: Any) -> Any:
    """One question to every shard that owns some of the groups."""
    if len(group_ids) > GROUPS_A_SLICE:
        return _ask_shards_in_slices(broker, group_ids, operation, refuse_one, combine)
    owners = grouped_by_shard(broker.groups, group_ids)
    answers = [_ask_shard(broker, index, owned, operation, refuse_one) for index, owned in owners.items()]
    return broker.groups.gather(answers, combine)


def _ask_shards_in_slices(
    broker: Context, group_ids: list[str], operation: Any, refuse_one: Any, combine: Any
) -> Generator[None, None, Any]:
    """As `_ask_shards`, some groups at a time."""
    answers = []
    for start in range(0, len(group_ids), GROUPS_A_SLICE):
        owners = grouped_by_shard(broker.groups, group_ids[start : start + GROUPS_A_SLICE])
        for index, owned in owners.items():
            answers.append(_ask_shard(broker, index, owned, operation, refuse_one))
            yield
    return broker.groups.gather(answers, combine)


def _ask_shard(broker: Context, index: int, owned: list[str], operation: Any, refuse_one: Any) -> Any:
    def refuse(code: int) -> list[Any]:
        return each(owned, lambda group_id: refuse_one(group_id, code))

    return broker.groups.ask_shard(index, operation, owned, caller_of(broker), refuse)
