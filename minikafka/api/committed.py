"""Committed offsets: stored, read and forgotten for a group, by the coordinator it has.

Topics go by name until OffsetCommit and OffsetFetch 10, then by id. What may not be answered for, or is not there, is
sorted out here; the rest is the coordinator's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from minikafka.api.context import Context
from minikafka.api.groups import caller_of
from minikafka.api.registry import Operation, Resource, api
from minikafka.coordinator.groups import Groups
from minikafka.coordinator.offsets import NO_TOPIC_ID
from protocol.kafka.errors import (
    CoordinatorNotAvailable,
    GroupAuthorizationFailed,
    InvalidGroupId,
    NotCoordinator,
    TopicAuthorizationFailed,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from protocol.kafka.messages.groups import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from protocol.ops.slices import begun, taken

MANY_GROUPS_SINCE = 8  # OffsetFetch version
TOP_LEVEL_ERROR_SINCE = 2  # OffsetFetch version
TOPIC_IDS_SINCE = 10  # OffsetCommit and OffsetFetch version
GROUPS_A_STEP = 64  # whose offsets are looked up before others may have their turn
TOPICS_A_STEP = 64  # of a commit, likewise


@api(OffsetCommitRequest, 2, 10)
def offset_commit(broker: Context, request: OffsetCommitRequest) -> Any:
    """Store offsets for the partitions that exist; the others are answered here."""
    broker.allow(Operation.READ, Resource.GROUP, request.group_id)
    return begun(_committing(broker, request))


def _committing(broker: Context, request: OffsetCommitRequest) -> Generator[None, None, Any]:
    refused: dict[tuple[str, bytes], OffsetCommitResponseTopic] = {}
    accepted = []
    for at, topic in enumerate(taken(request.topics)):
        partitions = _accepted_partitions(broker, topic, refused)
        if partitions:
            accepted.append(OffsetCommitRequestTopic(name=topic.name, topic_id=topic.topic_id, partitions=partitions))
        if at % TOPICS_A_STEP == TOPICS_A_STEP - 1:
            yield
    if not accepted:
        return OffsetCommitResponse(topics=list(refused.values()))
    request.topics = accepted

    def refuse(code: int) -> OffsetCommitResponse:
        return OffsetCommitResponse(topics=[_commit_refusal(topic, topic.partitions, code) for topic in accepted])

    def adapt(response: OffsetCommitResponse) -> OffsetCommitResponse:
        merged = dict(refused)
        for topic in response.topics:
            known = merged.setdefault((topic.name, topic.topic_id), topic)
            if known is not topic:
                known.partitions.extend(topic.partitions)
        response.topics = list(merged.values())
        return response

    return broker.groups.ask(request.group_id, Groups.commit_offsets, request, caller_of(broker), refuse, adapt)


def _accepted_partitions(
    broker: Context, topic: OffsetCommitRequestTopic, refused: dict[tuple[str, bytes], OffsetCommitResponseTopic]
) -> list[OffsetCommitRequestPartition]:
    """The partitions that can be committed; a topic known by its id gets its name on the way."""
    code, known = 0, None
    if broker.api_version >= TOPIC_IDS_SINCE:
        known = broker.image.topics_by_id.get(topic.topic_id)
        code = UnknownTopicId.code if known is None else 0
        topic.name = "" if known is None else known.name
    else:
        known = broker.image.topics.get(topic.name)
        topic.topic_id = NO_TOPIC_ID if known is None else known.id
    if not code and not broker.may(Operation.READ, Resource.TOPIC, topic.name):
        code = TopicAuthorizationFailed.code
    good: list[OffsetCommitRequestPartition] = []
    bad: list[OffsetCommitRequestPartition] = []
    for partition in topic.partitions:
        exists = known is not None and partition.partition_index in known.partitions
        (good if exists and not code else bad).append(partition)
    if bad:
        refusal = _commit_refusal(topic, bad, code or UnknownTopicOrPartition.code)
        same = refused.setdefault((topic.name, topic.topic_id), refusal)
        if same is not refusal:
            same.partitions.extend(refusal.partitions)
    return good


def _commit_refusal(
    topic: OffsetCommitRequestTopic, partitions: list[OffsetCommitRequestPartition], code: int
) -> OffsetCommitResponseTopic:
    return OffsetCommitResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[
            OffsetCommitResponsePartition(partition_index=p.partition_index, error_code=code) for p in partitions
        ],
    )


@api(OffsetFetchRequest, 1, 10)
def offset_fetch(broker: Context, request: OffsetFetchRequest) -> Any:
    """What groups have committed. Groups and partitions nobody committed for have offset -1 and no error."""
    version = broker.api_version
    groups = _asked_groups(request, version)

    def combine(groups: list[OffsetFetchResponseGroup]) -> OffsetFetchResponse:
        return OffsetFetchResponse(groups=groups) if version >= MANY_GROUPS_SINCE else _single(groups[0], version)

    def in_slices() -> Generator[None, None, Any]:
        answers = []
        for group in groups:
            answers.append(_fetch_group(broker, group, request.require_stable))
            if len(answers) % GROUPS_A_STEP == 0:
                yield
        return broker.groups.gather(answers, combine)

    if len(groups) > GROUPS_A_STEP:
        return in_slices()
    answers = [_fetch_group(broker, group, request.require_stable) for group in groups]
    return broker.groups.gather(answers, combine)


def _asked_groups(request: OffsetFetchRequest, version: int) -> list[OffsetFetchRequestGroup]:
    if version >= MANY_GROUPS_SINCE:
        return request.groups
    topics = request.topics
    wanted = None
    if topics is not None:
        wanted = [OffsetFetchRequestTopics(name=t.name, partition_indexes=t.partition_indexes) for t in topics]
    return [OffsetFetchRequestGroup(group_id=request.group_id, topics=wanted)]


def _fetch_group(broker: Context, group: OffsetFetchRequestGroup, require_stable: bool) -> Any:
    group_id = group.group_id

    def refuse(code: int) -> OffsetFetchResponseGroup:
        # A consumer before 3.9 retries on "not the coordinator" only.
        told = NotCoordinator.code if code == CoordinatorNotAvailable.code else code
        return OffsetFetchResponseGroup(group_id=group_id, topics=[], error_code=told)

    if not broker.may(Operation.DESCRIBE, Resource.GROUP, group_id):
        return OffsetFetchResponseGroup(group_id=group_id, topics=[], error_code=GroupAuthorizationFailed.code)
    has_ids = broker.api_version >= TOPIC_IDS_SINCE
    if group.topics is None:
        return broker.groups.ask(
            group_id,
            Groups.fetch_offsets,
            (group, require_stable),
            caller_of(broker),
            refuse,
            lambda response: _all_visible(broker, response, has_ids),
        )
    refused = _refused_topics(broker, group, has_ids)

    def adapt(response: OffsetFetchResponseGroup) -> OffsetFetchResponseGroup:
        if response.error_code == 0:
            response.topics.extend(refused)
        return response

    return broker.groups.ask(group_id, Groups.fetch_offsets, (group, require_stable), caller_of(broker), refuse, adapt)


def _refused_topics(broker: Context, group: OffsetFetchRequestGroup, has_ids: bool) -> list[OffsetFetchResponseTopics]:
    """Take the topics out of the request that cannot be answered for; with the answers they get."""
    assert group.topics is not None
    refused, kept = [], []
    for topic in group.topics:
        code = 0
        if has_ids:
            known = broker.image.topics_by_id.get(topic.topic_id)
            topic.name = "" if known is None else known.name
            code = UnknownTopicId.code if known is None else 0
        if not code and not broker.may(Operation.DESCRIBE, Resource.TOPIC, topic.name):
            code = TopicAuthorizationFailed.code
        if not code:
            kept.append(topic)
            continue
        refused.append(
            OffsetFetchResponseTopics(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetFetchResponsePartitions(partition_index=p, committed_offset=-1, metadata="", error_code=code)
                    for p in topic.partition_indexes
                ],
            )
        )
    group.topics = kept
    return refused


def _all_visible(broker: Context, response: OffsetFetchResponseGroup, has_ids: bool) -> OffsetFetchResponseGroup:
    """Of everything a group committed, the topics the client may know of; by id, those that still exist."""
    visible = []
    for topic in response.topics:
        known = broker.image.topics.get(topic.name)
        if has_ids:
            if known is None:
                continue
            topic.topic_id = known.id
        if broker.may(Operation.DESCRIBE, Resource.TOPIC, topic.name):
            visible.append(topic)
    response.topics = visible
    return response


def _single(group: OffsetFetchResponseGroup, version: int) -> OffsetFetchResponse:
    """The one group of an old version; before version 2 an error of the group is told of each of its partitions."""
    in_partitions = group.error_code if version < TOP_LEVEL_ERROR_SINCE else 0
    topics = [
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=[
                OffsetFetchResponsePartition(
                    partition_index=p.partition_index,
                    committed_offset=-1 if in_partitions else p.committed_offset,
                    committed_leader_epoch=-1 if in_partitions else p.committed_leader_epoch,
                    metadata="" if in_partitions else p.metadata,
                    error_code=in_partitions or p.error_code,
                )
                for p in topic.partitions
            ],
        )
        for topic in group.topics
    ]
    return OffsetFetchResponse(topics=topics, error_code=group.error_code)


@api(OffsetDeleteRequest, 0, 0)
def offset_delete(broker: Context, request: OffsetDeleteRequest) -> Any:
    """Forget committed offsets (KIP-496)."""
    broker.allow(Operation.DELETE, Resource.GROUP, request.group_id)
    if request.group_id == "":
        raise InvalidGroupId()
    refused: dict[str, OffsetDeleteResponseTopic] = {}
    accepted = []
    for topic in request.topics:
        known = broker.image.topics.get(topic.name)
        code = 0 if broker.may(Operation.READ, Resource.TOPIC, topic.name) else TopicAuthorizationFailed.code
        good: list[OffsetDeleteRequestPartition] = []
        bad: list[OffsetDeleteRequestPartition] = []
        for partition in topic.partitions:
            exists = known is not None and partition.partition_index in known.partitions
            (good if exists and not code else bad).append(partition)
        if good:
            accepted.append(OffsetDeleteRequestTopic(name=topic.name, partitions=good))
        if bad:
            refused[topic.name] = OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(
                        partition_index=p.partition_index, error_code=code or UnknownTopicOrPartition.code
                    )
                    for p in bad
                ],
            )
    request.topics = accepted

    def adapt(response: OffsetDeleteResponse) -> OffsetDeleteResponse:
        if response.error_code == 0:
            merged = dict(refused)
            for topic in response.topics:
                known = merged.setdefault(topic.name, topic)
                if known is not topic:
                    known.partitions.extend(topic.partitions)
            response.topics = list(merged.values())
        return response

    return broker.groups.ask(
        request.group_id,
        Groups.delete_offsets,
        request,
        caller_of(broker),
        lambda code: OffsetDeleteResponse(error_code=code, topics=[]),
        adapt,
    )
