"""One shard's state: the groups of every type that one partition of `__consumer_offsets` owns, and their offsets.

This is the door to groups: whoever asks names a group, and what type it is decides who answers. An
operation here is called with `(request, caller, waiter, out, now)`; it decides and fills the outcome, and
leaves whatever is persistent to `replay`. Records are replayed twice in their life at most: once when
we wrote them (`is_live`), once when a shard is loaded from the log; the result is the same but for what
only a live group has.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from minikafka.coordinator.classic import ClassicGroup, refused_join, refused_sync
from minikafka.coordinator.members import EXPIRY, Caller, GroupSettings, Outcome, TimerKey, Waiter, utf16_size
from minikafka.coordinator.offsets import NO_TOPIC_ID, Committed, Offsets
from protocol.kafka.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    IllegalGeneration,
    KafkaError,
    OffsetMetadataTooLarge,
    UnknownMemberId,
    UnstableOffsetCommit,
)
from protocol.kafka.messages.groups import (
    DeletableGroupResult,
    DescribedGroup,
    DescribedGroupMember,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    LeaveGroupResponse,
    ListedGroup,
    MemberIdentity,
    MemberResponse,
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
    OffsetFetchRequestGroup,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
    SyncGroupRequest,
)
from protocol.kafka.messages.stored import GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue

GROUP_NOT_FOUND_ERROR_SINCE = 9  # OffsetCommit version; older clients are told their generation is wrong
UNKNOWN_GROUP_ERROR_SINCE = 6  # DescribeGroups version; older clients are shown a dead group

NO_OFFSET = -1


class Groups:
    """The machine behind one partition of `__consumer_offsets`."""

    __slots__ = ("groups", "offsets", "random", "settings")

    def __init__(self, settings: GroupSettings, random: Random) -> None:
        self.settings = settings
        self.random = random
        self.groups: dict[str, ClassicGroup] = {}
        self.offsets = Offsets()

    def find(self, group_id: str) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is None:
            raise GroupIdNotFound(f"Group {group_id} not found.")
        return group

    def _create(self, group_id: str, now: int) -> ClassicGroup:
        group = self.groups[group_id] = ClassicGroup(group_id, self.settings, self.random, now)
        return group

    # ---- membership

    def join(self, request: JoinGroupRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        group = self.groups.get(request.group_id)
        if group is not None:
            group.join(request, caller, waiter, out, now)
        elif request.member_id:
            # Only a member without an id may be the first: this one belongs to a group we no longer have.
            out.reply(waiter, refused_join(UnknownMemberId.code, request.member_id))
        else:
            group = self._create(request.group_id, now)
            group.join(request, caller, waiter, out, now)
            if not out.records:
                out.record(*group.newborn())  # what exists is in the log, whoever loads it next

    def sync(self, request: SyncGroupRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        group = self.groups.get(request.group_id)
        if group is None or group.is_empty():
            out.reply(waiter, refused_sync(UnknownMemberId.code))
        else:
            group.sync(request, waiter, out, now)

    def heartbeat(self, request: HeartbeatRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        group = self.groups.get(request.group_id)
        if group is None:
            out.reply(waiter, HeartbeatResponse(error_code=UnknownMemberId.code))
        else:
            group.heartbeat(request, waiter, out)

    def leave(
        self, asked: tuple[str, Sequence[MemberIdentity]], caller: Caller, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        group_id, members = asked
        group = self.groups.get(group_id)
        if group is None:
            code = UnknownMemberId.code
            answers = [
                MemberResponse(member_id=m.member_id, group_instance_id=m.group_instance_id, error_code=code)
                for m in members
            ]
            out.reply(waiter, LeaveGroupResponse(members=answers))
        else:
            group.leave(members, waiter, out, now)

    # ---- offsets

    def commit_offsets(
        self, request: OffsetCommitRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        """Store offsets for topics that exist; whoever calls has sorted out the others."""
        group = self.groups.get(request.group_id)
        generation = request.generation_id_or_member_epoch
        if group is not None:
            group.check_offset_commit(request.member_id, request.group_instance_id, generation)
            group.offset_committed(request.member_id, out)
        elif generation >= 0:
            raise (
                GroupIdNotFound(f"Group {request.group_id} not found.")
                if caller.api_version >= GROUP_NOT_FOUND_ERROR_SINCE
                else IllegalGeneration()
            )
        out.is_pure = True
        expire_ms = -1 if request.retention_time_ms == -1 else now + request.retention_time_ms
        answers = []
        for topic in request.topics:
            answer = OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id, partitions=[])
            answers.append(answer)
            for partition in topic.partitions:
                code = self._commit_one(request.group_id, topic.name, topic.topic_id, partition, expire_ms, out, now)
                index = partition.partition_index
                answer.partitions.append(OffsetCommitResponsePartition(partition_index=index, error_code=code))
        out.reply(waiter, OffsetCommitResponse(topics=answers))

    def _commit_one(
        self,
        group_id: str,
        topic: str,
        topic_id: bytes,
        partition: OffsetCommitRequestPartition,
        expire_ms: int,
        out: Outcome,
        now: int,
    ) -> int:
        metadata = partition.committed_metadata or ""
        if utf16_size(metadata) > self.settings.offset_metadata_max_size:
            return OffsetMetadataTooLarge.code
        value = OffsetCommitValue(
            offset=partition.committed_offset,
            leader_epoch=partition.committed_leader_epoch,
            metadata=metadata,
            commit_timestamp=now,
            expire_timestamp=expire_ms,
            topic_id=topic_id,
        )
        out.record(OffsetCommitKey(group=group_id, topic=topic, partition=partition.partition_index), value)
        return 0

    def fetch_offsets(
        self, asked: tuple[OffsetFetchRequestGroup, bool], caller: Caller, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        """What a group committed: for the topics asked, or for all of them. An unknown group has committed nothing."""
        request, must_be_stable = asked
        known = self.offsets.topics(request.group_id) if request.group_id in self.groups else {}
        if request.topics is None:
            wanted = [(topic, NO_TOPIC_ID, list(partitions)) for topic, partitions in known.items()]
        else:
            wanted = [(topic.name, topic.topic_id, topic.partition_indexes) for topic in request.topics]
        answers = []
        for topic, topic_id, partitions in wanted:
            committed = known.get(topic, {})
            answer = OffsetFetchResponseTopics(name=topic, topic_id=topic_id, partitions=[])
            answers.append(answer)
            for partition in partitions:
                if must_be_stable and self.offsets.is_pending(request.group_id, topic, partition):
                    answer.partitions.append(_no_offset(partition, UnstableOffsetCommit.code))
                else:
                    answer.partitions.append(_fetched(partition, committed.get(partition), topic_id))
        out.reply(waiter, OffsetFetchResponseGroup(group_id=request.group_id, topics=answers))

    def delete_offsets(
        self, request: OffsetDeleteRequest, caller: Caller, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        """Forget offsets of topics that nobody in the group is subscribed to."""
        group = self.find(request.group_id)
        group.check_offset_delete()
        out.is_pure = True
        answers = []
        for topic in request.topics:
            code = GroupSubscribedToTopic.code if group.is_subscribed_to(topic.name) else 0
            answer = OffsetDeleteResponseTopic(name=topic.name, partitions=[])
            answers.append(answer)
            for partition in topic.partitions:
                index = partition.partition_index
                answer.partitions.append(OffsetDeleteResponsePartition(partition_index=index, error_code=code))
                if code == 0 and self._has_offset(request.group_id, topic.name, index):
                    self.offsets.forget(request.group_id, topic.name, index, out)
        out.reply(waiter, OffsetDeleteResponse(topics=answers))

    def _has_offset(self, group_id: str, topic: str, partition: int) -> bool:
        return self.offsets.find(group_id, topic, partition) is not None or self.offsets.is_pending(
            group_id, topic, partition
        )

    # ---- administration

    def describe(self, group_ids: Sequence[str], caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        nobody: list[DescribedGroupMember] = []  # one for all of them: tens of thousands may be asked for
        out.reply(waiter, [self._describe_one(group_id, caller, nobody) for group_id in group_ids])

    def _describe_one(self, group_id: str, caller: Caller, nobody: list[DescribedGroupMember]) -> DescribedGroup:
        group = self.groups.get(group_id)
        if group is not None:
            return group.describe()
        described = DescribedGroup(
            group_id=group_id, group_state="Dead", protocol_type="", protocol_data="", members=nobody
        )
        if caller.api_version >= UNKNOWN_GROUP_ERROR_SINCE:
            described.error_code = GroupIdNotFound.code
            described.error_message = f"Group {group_id} not found."
        return described

    def list_all(
        self, asked: tuple[Sequence[str], Sequence[str]], caller: Caller, waiter: Waiter, out: Outcome, now: int
    ) -> None:
        """Groups in any of the states and of any of the types named; no name means all."""
        states = {state.lower().strip() for state in asked[0]}
        types = {kind.lower() for kind in asked[1]}
        listed: list[ListedGroup] = [
            group.listed()
            for group in self.groups.values()
            if (not states or group.state.value.lower() in states) and (not types or group.type_name in types)
        ]
        out.reply(waiter, listed)

    def delete(self, group_ids: Sequence[str], caller: Caller, waiter: Waiter, out: Outcome, now: int) -> None:
        """Forget groups nobody is in, with their offsets."""
        out.is_pure = True
        results = []
        for group_id in group_ids:
            code = 0
            try:
                group = self.find(group_id)
                group.check_delete()
                self.offsets.forget_group(group_id, out)
                group.tombstone(out)
            except KafkaError as error:
                code = error.code
            results.append(DeletableGroupResult(group_id=group_id, error_code=code))
        out.reply(waiter, results)

    # ---- time

    def expire(self, key: TimerKey, out: Outcome, now: int) -> None:
        """A timer fired."""
        kind, group_id, member_id = key
        if kind == EXPIRY:
            self.expire_offsets(out, now)
            out.timer(EXPIRY, "", "", self.settings.retention_check_interval_ms)
            return
        group = self.groups.get(group_id)
        if group is not None:
            group.expire(kind, member_id, out, now)

    def expire_offsets(self, out: Outcome, now: int) -> None:
        """Offsets past their retention go, and groups that are left with none and nobody."""
        out.is_pure = True
        for group in self.groups.values():
            if self._expire_offsets_of(group, out, now) and group.is_empty():
                group.tombstone(out)

    def _expire_offsets_of(self, group: ClassicGroup, out: Outcome, now: int) -> bool:
        """Whether nothing of the group's offsets is left."""
        group_id = group.group_id
        have_all_expired = not self.offsets.has_open_transactions(group_id)
        for topic, partitions in self.offsets.topics(group_id).items():
            is_subscribed = group.is_subscribed_to(topic)
            for partition, committed in partitions.items():
                if (
                    not is_subscribed
                    and self._has_expired(group, committed, now)
                    and not self.offsets.is_pending(group_id, topic, partition)
                ):
                    self.offsets.forget(group_id, topic, partition, out)
                else:
                    have_all_expired = False
        return have_all_expired

    def _has_expired(self, group: ClassicGroup, committed: Committed, now: int) -> bool:
        since = group.expires_from(committed.commit_ms)
        if since is None:
            return False
        if committed.expire_ms != -1:
            return now >= committed.expire_ms
        return now - since >= self.settings.offsets_retention_ms

    def topics_deleted(self, topics: Sequence[str], out: Outcome) -> None:
        out.is_pure = True
        self.offsets.forget_topics(topics, out)

    # ---- the log

    def replay(
        self,
        key: Any,
        value: Any | None,
        record_offset: int,
        now: int,
        *,
        is_live: bool,
        producer_id: int = -1,
    ) -> None:
        """Take in one record: one we just wrote, or one found in the log while loading."""
        if isinstance(key, OffsetCommitKey):
            if value is not None and key.group not in self.groups:
                self._create(key.group, now)  # offsets without membership: a simple group
            self.offsets.replay(key, value, record_offset, producer_id)
        elif isinstance(key, GroupMetadataKey):
            self._replay_group(key.group, value, now, is_live=is_live)

    def _replay_group(self, group_id: str, value: GroupMetadataValue | None, now: int, *, is_live: bool) -> None:
        if value is None:
            self.groups.pop(group_id, None)
        elif is_live:
            self.groups[group_id].written(value, now)
        else:
            self.groups[group_id] = ClassicGroup.load(group_id, value, self.settings, self.random, now)

    def loaded(self, out: Outcome, now: int) -> None:
        """All of the log is replayed: from here on time counts."""
        for group in self.groups.values():
            group.loaded(out, now)
        out.timer(EXPIRY, "", "", self.settings.retention_check_interval_ms)

    def unloaded(self, out: Outcome, now: int) -> None:
        """Somebody else leads this shard now; everybody who waits here is told."""
        for group in self.groups.values():
            group.unloaded(out, now)


def _no_offset(partition: int, code: int = 0) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=partition, committed_offset=NO_OFFSET, committed_leader_epoch=-1, metadata="", error_code=code
    )


def _fetched(partition: int, committed: Committed | None, topic_id: bytes) -> OffsetFetchResponsePartitions:
    # An offset of a topic's former life says nothing about the topic that has its name now.
    if committed is None or (
        topic_id != NO_TOPIC_ID and committed.topic_id != NO_TOPIC_ID and topic_id != committed.topic_id
    ):
        return _no_offset(partition)
    return OffsetFetchResponsePartitions(
        partition_index=partition,
        committed_offset=committed.offset,
        committed_leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
    )
