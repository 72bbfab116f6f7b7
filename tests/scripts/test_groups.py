"""The stories of groups/*.txt, played to the group machine with a clock that jumps.

    begin [NAME=VALUE …]            an empty log and nobody known; fields of GroupSettings, kept until the next
    restart [NAME=VALUE …]          forget all memory, load the records written so far
    join WHO [v=9] [id=new|kept|WHO] [instance=x] [protocols=range,sticky] [type=consumer] [topics=t,u]
             [session=10] [rebalance=60]                    seconds
    sync WHO [v=5] [generation=N] [assign=WHO:text,…] [type=…] [protocol=…] [instance=x] [id=WHO|TEXT]
    heartbeat WHO [generation=N] [instance=x] [id=…]
    leave WHO … [instance=x]        several names leave in one request
    commit WHO TOPIC/PARTITION=OFFSET[:metadata] … [generation=N] [v=9] [retention=S] [id=…]
                                    "-" has no member id
    fetch [TOPIC/PARTITION …] [stable]                       without partitions: all
    forget TOPIC/PARTITION …        OffsetDelete
    drop TOPIC                      the topic was deleted
    describe | list [state=…] [type=…] | delete
    wait SECONDS                    fires what falls due on the way
    show timers

A member is called by its client's name; every id a client is given after the first has a prime: a, a', a''.
Everybody is in group "g".
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from minikafka.coordinator.groups import Groups
from minikafka.coordinator.members import Caller, GroupSettings, Outcome, TimerKey, Waiter
from protocol.kafka import errors
from protocol.kafka.messages import groups as messages
from protocol.kafka.messages.stored import GroupMetadataKey
from tests.scripts.runner import run

STORIES = sorted((Path(__file__).parent / "groups").glob("*.txt"))
GROUP = "g"
MEMBER_ID = re.compile(r"(\w+)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class NamedWaiter(Waiter):
    """A waiter the story can name."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda code: code)
        self.name = name


class Stage:
    """One shard without its shell: a clock that jumps, timers in a dictionary, records in a list."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.overrides: dict[str, int] = {}
        self.random = Random(7)
        self.log: list[tuple[Any, Any]] = []
        self.timers: dict[TimerKey, tuple[int, int]] = {}
        self.timer_count = 0
        self.names: dict[str, str] = {}  # member id → how the story calls it
        self.ids: dict[str, str] = {}  # and back
        self.last_ids: dict[str, str] = {}  # client → the id it was given last
        self.generations: dict[str, int] = {}
        self.instances: dict[str, str] = {}  # instance id → client
        self.machine = self.fresh()

    def fresh(self) -> Groups:
        return Groups(GroupSettings(**self.overrides), self.random)

    def play(self, words: list[str]) -> list[str]:
        positional = [word for word in words[1:] if "=" not in word or "/" in word]
        options = dict(word.split("=", 1) for word in words[1:] if "=" in word and "/" not in word)
        return getattr(self, f"do_{words[0]}")(positional, options)

    # ---- commands

    def do_begin(self, args: list[str], options: dict[str, str]) -> list[str]:
        self.overrides = {name: int(value) for name, value in options.items()}
        self.log.clear()
        self.timers.clear()
        self.names.clear()
        self.ids.clear()
        self.last_ids.clear()
        self.generations.clear()
        self.machine = self.fresh()
        out = Outcome()
        self.machine.loaded(out, self.now)
        return self.take(out, None)

    def do_restart(self, args: list[str], options: dict[str, str]) -> list[str]:
        self.overrides |= {name: int(value) for name, value in options.items()}
        out = Outcome()
        self.machine.unloaded(out, self.now)
        lines = self.take(out, None)
        self.timers.clear()
        self.machine = self.fresh()
        for offset, (key, value) in enumerate(self.log):
            self.machine.replay(key, value, offset, self.now, is_live=False)
        out = Outcome()
        self.machine.loaded(out, self.now)
        return lines + self.take(out, None)

    def do_join(self, args: list[str], options: dict[str, str]) -> list[str]:
        who = args[0]
        if "instance" in options:
            self.instances.setdefault(options["instance"], who)
        topics = options.get("topics", "t").split(",")
        subscription = b"\x00\x00" + len(topics).to_bytes(4, "big")
        subscription += b"".join(len(t).to_bytes(2, "big") + t.encode() for t in topics) + b"\xff\xff\xff\xff"
        request = messages.JoinGroupRequest(
            group_id=GROUP,
            session_timeout_ms=int(float(options.get("session", "10")) * 1000),
            rebalance_timeout_ms=int(float(options.get("rebalance", "60")) * 1000),
            member_id=self.member_id(who, options.get("id", "kept")),
            group_instance_id=options.get("instance"),
            protocol_type=options.get("type", "consumer"),
            protocols=[
                messages.JoinGroupRequestProtocol(name=name, metadata=subscription)
                for name in options.get("protocols", "range").split(",")
                if name
            ],
        )
        return self.ask(Groups.join, request, who, int(options.get("v", "9")))

    def do_sync(self, args: list[str], options: dict[str, str]) -> list[str]:
        who = args[0]
        assignments = []
        for pair in filter(None, options.get("assign", "").split(",")):
            member, text = pair.split(":")
            assignments.append(
                messages.SyncGroupRequestAssignment(
                    member_id=self.last_ids.get(member, member), assignment=text.encode()
                )
            )
        request = messages.SyncGroupRequest(
            group_id=GROUP,
            generation_id=int(options.get("generation", self.generations.get(who, -1))),
            member_id=self.member_id(who, options.get("id", "kept")),
            group_instance_id=options.get("instance"),
            protocol_type=options.get("type"),
            protocol_name=options.get("protocol"),
            assignments=assignments,
        )
        return self.ask(Groups.sync, request, who, 5)

    def do_heartbeat(self, args: list[str], options: dict[str, str]) -> list[str]:
        who = args[0]
        request = messages.HeartbeatRequest(
            group_id=GROUP,
            generation_id=int(options.get("generation", self.generations.get(who, -1))),
            member_id=self.member_id(who, options.get("id", "kept")),
            group_instance_id=options.get("instance"),
        )
        return self.ask(Groups.heartbeat, request, who, 4)

    def do_leave(self, args: list[str], options: dict[str, str]) -> list[str]:
        instance = options.get("instance")
        members = [
            messages.MemberIdentity(member_id=self.last_ids.get(name, ""), group_instance_id=instance) for name in args
        ]
        if not args:
            members = [messages.MemberIdentity(member_id="", group_instance_id=instance)]
        return self.ask(Groups.leave, (GROUP, members), args[0] if args else "admin", 5)

    def do_commit(self, args: list[str], options: dict[str, str]) -> list[str]:
        who, *offsets = args
        topics: dict[str, list[Any]] = {}
        for word in offsets:
            place, what = word.split("=", 1)
            topic, index = place.split("/")
            offset, _, metadata = what.partition(":")
            if metadata.startswith("*"):
                metadata = "x" * int(metadata[1:])
            topics.setdefault(topic, []).append(
                messages.OffsetCommitRequestPartition(
                    partition_index=int(index),
                    committed_offset=int(offset),
                    committed_leader_epoch=-1,
                    committed_metadata=metadata,
                )
            )
        request = messages.OffsetCommitRequest(
            group_id=GROUP,
            generation_id_or_member_epoch=int(options.get("generation", self.generations.get(who, -1))),
            member_id="" if who == "-" else self.member_id(who, options.get("id", "kept")),
            group_instance_id=options.get("instance"),
            retention_time_ms=int(options.get("retention", "-1")) * (1000 if "retention" in options else 1),
            topics=[
                messages.OffsetCommitRequestTopic(name=name, topic_id=bytes(16), partitions=partitions)
                for name, partitions in topics.items()
            ],
        )
        return self.ask(Groups.commit_offsets, request, who, int(options.get("v", "9")))

    def do_fetch(self, args: list[str], options: dict[str, str]) -> list[str]:
        wanted = [word for word in args if word != "stable"]
        topics: dict[str, list[int]] = {}
        for word in wanted:
            topic, index = word.split("/")
            topics.setdefault(topic, []).append(int(index))
        group = messages.OffsetFetchRequestGroup(
            group_id=GROUP,
            topics=[
                messages.OffsetFetchRequestTopics(name=name, topic_id=bytes(16), partition_indexes=indexes)
                for name, indexes in topics.items()
            ]
            if wanted
            else None,
        )
        return self.ask(Groups.fetch_offsets, (group, "stable" in args), "fetch", 9)

    def do_forget(self, args: list[str], options: dict[str, str]) -> list[str]:
        topics: dict[str, list[int]] = {}
        for word in args:
            topic, index = word.split("/")
            topics.setdefault(topic, []).append(int(index))
        request = messages.OffsetDeleteRequest(
            group_id=GROUP,
            topics=[
                messages.OffsetDeleteRequestTopic(
                    name=name,
                    partitions=[messages.OffsetDeleteRequestPartition(partition_index=index) for index in indexes],
                )
                for name, indexes in topics.items()
            ],
        )
        return self.ask(Groups.delete_offsets, request, "forget", 0)

    def do_drop(self, args: list[str], options: dict[str, str]) -> list[str]:
        out = Outcome()
        self.machine.topics_deleted(args, out)
        return self.take(out, None)

    def do_describe(self, args: list[str], options: dict[str, str]) -> list[str]:
        return self.ask(Groups.describe, [GROUP], "describe", int(options.get("v", "6")))

    def do_list(self, args: list[str], options: dict[str, str]) -> list[str]:
        states = list(filter(None, options.get("state", "").split(",")))
        types = list(filter(None, options.get("type", "").split(",")))
        return self.ask(Groups.list_all, (states, types), "list", 5)

    def do_delete(self, args: list[str], options: dict[str, str]) -> list[str]:
        return self.ask(Groups.delete, [GROUP], "delete", 2)

    def do_wait(self, args: list[str], options: dict[str, str]) -> list[str]:
        until = self.now + int(float(args[0]) * 1000)
        lines: list[str] = []
        while self.timers:
            key = min(self.timers, key=lambda k: self.timers[k])
            at, _ = self.timers[key]
            if at > until:
                break
            self.now = at
            del self.timers[key]
            out = Outcome()
            self.machine.expire(key, out, self.now)
            lines.extend(self.take(out, None))
        self.now = until
        return lines

    def do_show(self, args: list[str], options: dict[str, str]) -> list[str]:
        shown = sorted((at, count, key) for key, (at, count) in self.timers.items())
        return [
            f"timer {key[0]} {self.named(key[2])}".rstrip() + f" in {(at - self.now) / 1000:g}" for at, _, key in shown
        ]

    # ---- asking and telling

    def member_id(self, who: str, what: str) -> str:
        if what == "new":
            return ""
        if what == "kept":
            return self.last_ids.get(who, "")
        return self.ids.get(what, what)

    def ask(self, operation: Any, asked: Any, who: str, version: int) -> list[str]:
        waiter = NamedWaiter(who)
        out = Outcome()
        try:
            operation(self.machine, asked, Caller(who, "/127.0.0.1", version), waiter, out, self.now)
        except errors.KafkaError as error:
            return [f"{who} <- {type(error).__name__}"]
        return self.take(out, who)

    def take(self, out: Outcome, who: str | None) -> list[str]:
        lines = []
        for key, value in out.records:
            self.machine.replay(key, value, len(self.log), self.now, is_live=True)
            self.log.append((key, value))
            lines.append("record " + self.named(_describe(key, value)))
        for timer, delay_ms in out.timers:
            self.timers.pop(timer, None)
            if delay_ms is not None:
                self.timer_count += 1
                self.timers[timer] = (self.now + delay_ms, self.timer_count)
        for waiter, response in out.replies:
            lines.extend(self.told(waiter.name, response))
        return lines

    def told(self, who: str, response: Any) -> list[str]:
        if isinstance(response, messages.JoinGroupResponse):
            return [self.told_join(who, response)]
        return [f"{who} <- {self.named(text)}" for text in _show(response)]

    def told_join(self, who: str, response: messages.JoinGroupResponse) -> str:
        member_id = response.member_id
        if response.error_code:
            text = _error(response.error_code)
            if response.error_code == errors.MemberIdRequired.code:
                self.last_ids[who] = member_id
            return f"{who} <- {text}" + (f" id={self.named(member_id)}" if member_id else "")
        self.last_ids[who] = member_id
        self.generations[who] = response.generation_id
        members = ",".join(self.named(m.member_id) for m in response.members)
        return (
            f"{who} <- generation={response.generation_id} protocol={response.protocol_name} "
            f"leader={self.named(response.leader)} id={self.named(member_id)}"
            + (f" members={members}" if members else "")
            + (" skip-assignment" if response.skip_assignment else "")
        )

    def named(self, text: str) -> str:
        """The text with every member id as the story calls it."""
        return MEMBER_ID.sub(lambda match: self.name_of(match[0]), text)

    def name_of(self, member_id: str) -> str:
        name = self.names.get(member_id)
        if name is None:
            prefix = MEMBER_ID.fullmatch(member_id)[1]  # type: ignore[index]
            name = self.instances.get(prefix, prefix)
            while name in self.names.values():
                name += "'"
            self.names[member_id] = name
            self.ids[name] = member_id
        return name


def _describe(key: Any, value: Any) -> str:
    """One record, as a story tells it."""
    if not isinstance(key, GroupMetadataKey):
        what = "gone" if value is None else f"{value.offset}" + (f":{value.metadata[:8]}" if value.metadata else "")
        return f"offset {key.topic}/{key.partition}={what}"
    if value is None:
        return "group gone"
    members = " ".join(
        f"{m.member_id}:{bytes(m.assignment).decode()}" + (f"({m.group_instance_id})" if m.group_instance_id else "")
        for m in value.members
    )
    return (
        f"group generation={value.generation} type={value.protocol_type} protocol={value.protocol} "
        f"leader={value.leader} {members}".rstrip()
    )


def _error(code: int) -> str:
    return errors.error_of(code).__name__


def _show(response: Any) -> list[str]:
    if isinstance(response, list):
        return [line for each in response for line in _show(each)] or ["nothing"]
    if isinstance(response, messages.OffsetFetchResponseGroup):
        shown = [
            f"{topic.name}/{p.partition_index}={p.committed_offset}"
            + (f":{p.metadata}" if p.metadata else "")
            + (f" {_error(p.error_code)}" if p.error_code else "")
            for topic in response.topics
            for p in topic.partitions
        ]
        return [" ".join(shown) or "nothing"]
    if isinstance(response, messages.OffsetCommitResponse | messages.OffsetDeleteResponse):
        codes = {p.error_code for topic in response.topics for p in topic.partitions}
        return [", ".join(_error(code) if code else "ok" for code in sorted(codes)) or "nothing"]
    if isinstance(response, messages.LeaveGroupResponse):
        codes = [response.error_code] if response.error_code else [m.error_code for m in response.members]
        return [", ".join(_error(code) if code else "ok" for code in codes)]
    if isinstance(response, messages.DescribedGroup):
        members = " ".join(f"{m.member_id}:{bytes(m.member_assignment).decode()}" for m in response.members)
        error = f" {_error(response.error_code)}" if response.error_code else ""
        return [
            f"{response.group_state} type={response.protocol_type} {response.protocol_data} {members}".rstrip() + error
        ]
    if isinstance(response, messages.ListedGroup):
        return [f"{response.group_id} {response.group_state} {response.group_type} {response.protocol_type}".rstrip()]
    if isinstance(response, messages.SyncGroupResponse) and not response.error_code:
        return [f"assignment={bytes(response.assignment).decode()}"]
    return [_error(response.error_code) if response.error_code else "ok"]


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path) -> None:
    """If this fails, groups decide otherwise than the story tells; `GOLDEN=write` shows how."""
    run(story, Stage(), rewrite=os.environ.get("GOLDEN") == "write")
