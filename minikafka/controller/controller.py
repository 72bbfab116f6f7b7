"""The active controller: decides against what is written, writes one batch, answers when it is committed.

    decide(state, request) → Outcome(records, reply) → raft/node append → state replays at once
                                                            │ committed
                              reply ←  Future  ←────────────┘  (the broker's own image has it by then)

Laws
1. `state` is the metadata as written, ahead of what is committed by the batches under way, so that two decisions in
   one turn see one another. What brokers and clients see is the committed image, which is another object.
2. Only the active controller decides; one that leads no more starts over from what is agreed.
3. A reply leaves when its records are committed; one without records leaves when everything its decision saw is.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, TypeVar

from minikafka.controller import brokers, topics
from minikafka.controller.outcome import Outcome
from minikafka.metadata.configs import Configs
from minikafka.metadata.image import Delta, Image
from minikafka.metadata.records import to_value
from minikafka.raft.node import Node
from protocol.kafka.errors import (
    InvalidReplicationFactor,
    KafkaError,
    NotController,
    PolicyViolation,
    RequestTimedOut,
    TopicAlreadyExists,
    error_of,
)
from protocol.kafka.messages.brokers import (
    BrokerHeartbeatRequest,
    BrokerHeartbeatResponse,
    BrokerRegistrationRequest,
    BrokerRegistrationResponse,
)
from protocol.kafka.messages.quorum import AllocateProducerIdsRequest
from protocol.kafka.messages.topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from protocol.kafka.schema import Record

Reply = TypeVar("Reply")

TOPICS_A_TURN = 100  # new topics of one request that are decided before others have their turn, some 10 ms
MAX_RECORDS_PER_BATCH = 10_000  # of a decision that may be split


class Controller:
    """Runs deciders on the active node."""

    def __init__(
        self,
        node: Node,
        cluster_id: str,
        broker_id: int,
        configs: Configs,
        defaults: topics.TopicDefaults,
        random: Random,
        loop: AbstractEventLoop,
    ) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self.broker_id = broker_id
        self.configs = configs
        self.defaults = defaults
        self.random = random
        self.loop = loop
        self.state = Image()
        self.last_write: Future[int] | None = None
        self.registered_at: dict[int, int] = {}  # broker id -> offset of its registration record
        self.being_created: dict[str, Future[None]] = {}
        self._producer_ids = range(0)
        self._producer_ids_asked: Future[Any] | None = None

    # ---- the way of every decision

    def settle(self, outcome: Outcome[Reply]) -> Future[Reply]:
        """Write what was decided; the Future gives the reply when that is committed."""
        if not self.node.is_active:
            raise NotController()
        future: Future[Reply] = self.loop.create_future()
        if outcome.records:
            written = self.write(outcome.records, may_split=outcome.may_split)
        elif self.last_write is not None and not self.last_write.done():
            written = self.last_write
        else:
            future.set_result(outcome.reply)
            return future

        def committed(done: Future[int]) -> None:
            if future.done():
                return
            if done.cancelled():
                future.set_exception(RequestTimedOut())
            elif (error := done.exception()) is not None:
                future.set_exception(error if isinstance(error, NotController) else RequestTimedOut())
            else:
                future.set_result(outcome.reply)

        written.add_done_callback(committed)
        return future

    def write(self, records: Sequence[Record], *, may_split: bool = False) -> Future[int]:
        """Append records and replay them; the Future is that of the last batch."""
        step = MAX_RECORDS_PER_BATCH if may_split else len(records)
        for start in range(0, len(records), step):
            some = records[start : start + step]
            offset = self.node.end_offset
            self.last_write = self.node.append([to_value(record) for record in some])
            self.replay(some, offset)
        assert self.last_write is not None, "there was something to write"
        return self.last_write

    def replay(self, records: Sequence[Record], first_offset: int) -> None:
        """Take written records into the state."""
        delta = Delta()
        for at, record in enumerate(records):
            self.state.apply(record, delta)
            if record.api_key == REGISTER_BROKER:
                self.registered_at[record.broker_id] = first_offset + at  # type: ignore[attr-defined]

    def start_over(self, agreed: Iterable[Record]) -> None:
        """Forget what was written and may be decided otherwise: the state is what is agreed."""
        self.state = Image()
        self.registered_at = {}
        self.last_write = None
        self.replay(list(agreed), 0)
        self.registered_at = {number: broker.epoch for number, broker in self.state.brokers.items()}

    # ---- brokers

    def register_broker(self, request: BrokerRegistrationRequest) -> Future[BrokerRegistrationResponse]:
        return self.settle(brokers.register(self.state, request, self.cluster_id, self.node.end_offset))

    def heartbeat(self, request: BrokerHeartbeatRequest) -> Future[BrokerHeartbeatResponse]:
        return self.settle(brokers.heartbeat(self.state, request, self.registered_at.get(request.broker_id, 0)))

    def next_producer_id(self) -> int | Future[int]:
        """A producer id nobody has had: from this broker's block, or a Future while a block is being written."""
        ids = self._producer_ids
        if ids:
            self._producer_ids = ids[1:]
            return ids[0]
        future: Future[int] = self.loop.create_future()
        asked = self._producer_ids_asked
        if asked is None or asked.done():
            epoch = self.state.brokers[self.broker_id].epoch
            request = AllocateProducerIdsRequest(broker_id=self.broker_id, broker_epoch=epoch)
            asked = self._producer_ids_asked = self.settle(brokers.allocate_producer_ids(self.state, request))
            asked.add_done_callback(self._enter_block)

        def allocated(done: Future[Any]) -> None:
            if future.done():
                return
            error = done.exception()
            if error is not None:
                future.set_exception(error)
                return
            given = self.next_producer_id()
            if isinstance(given, int):
                future.set_result(given)
            else:
                # More waited than the block had ids.
                given.add_done_callback(lambda later: _pass_on(later, future))

        asked.add_done_callback(allocated)
        return future

    def _enter_block(self, done: Future[Any]) -> None:
        if done.exception() is None:
            block = done.result()
            self._producer_ids = range(block.producer_id_start, block.producer_id_start + block.producer_id_len)

    # ---- topics

    def create_topics(
        self, wanted: Sequence[CreatableTopic], describable: set[str], *, validate_only: bool
    ) -> Future[list[CreatableTopicResult]]:
        """Create topics, each by itself; many of one request in turns, a batch each, so that the broker's other clients
        do not wait for all of them. (In Kafka the controller alone is busy with it, a thread of its own.) A stop in
        between leaves those that are written, and no answer, as a lost answer does."""
        if len(wanted) <= TOPICS_A_TURN:
            return self._create(wanted, describable, validate_only)
        answer: Future[list[CreatableTopicResult]] = self.loop.create_future()
        results: list[Future[list[CreatableTopicResult]]] = []
        left = topics.MAX_RECORDS_PER_REQUEST
        looked_at = 0

        def look() -> None:
            # What may be too much for one request is gone through before any of it is written: it is refused as one.
            nonlocal left, looked_at
            some = wanted[looked_at : looked_at + TOPICS_A_TURN]
            looked_at += len(some)
            left -= len(self._decide(some, describable, False).records)
            if answer.done():
                return
            if left < 0:
                answer.set_exception(PolicyViolation("Unable to perform excessively large batch operation."))
            else:
                self.loop.call_soon(look if looked_at < len(wanted) else go_on)

        def go_on() -> None:
            start = len(results) * TOPICS_A_TURN
            if start < len(wanted) and not answer.done():
                results.append(self._create(wanted[start : start + TOPICS_A_TURN], describable, validate_only))
                self.loop.call_soon(go_on)
                return
            results[-1].add_done_callback(finish)

        def finish(_: Future[list[CreatableTopicResult]]) -> None:
            if answer.done():
                return
            # They were written one after the other, so that the last is committed when all are.
            error = next((each.exception() for each in results if each.exception() is not None), None)
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result([result for each in results for result in each.result()])

        if topics.records_at_most(self.defaults, wanted) > topics.MAX_RECORDS_PER_REQUEST:
            look()
        else:
            go_on()
        return answer

    def _create(
        self, wanted: Sequence[CreatableTopic], describable: set[str], validate_only: bool
    ) -> Future[list[CreatableTopicResult]]:
        return self.settle(self._decide(wanted, describable, validate_only))

    def _decide(
        self, wanted: Sequence[CreatableTopic], describable: set[str], validate_only: bool
    ) -> Outcome[list[CreatableTopicResult]]:
        return topics.create_topics(
            self.state, self.configs, self.defaults, self.random, wanted, describable, validate_only=validate_only
        )

    def delete_topics(self, topic_ids: Sequence[bytes]) -> Future[dict[bytes, KafkaError | None]]:
        """Remove topics; each is told its error, or None."""
        records: list[Record] = []
        results: dict[bytes, KafkaError | None] = {}
        for topic_id in topic_ids:
            try:
                records += topics.delete_topic(self.state, topic_id)
                results[topic_id] = None
            except KafkaError as error:
                results[topic_id] = error
        return self.settle(Outcome(results, records))

    def create_partitions(
        self, wanted: Sequence[CreatePartitionsTopic], *, validate_only: bool
    ) -> Future[list[CreatePartitionsTopicResult]]:
        return self.settle(topics.create_partitions(self.state, self.random, wanted, validate_only=validate_only))

    def create_internal_topic(
        self, name: str, partitions: int, replication_factor: int, configs: dict[str, str]
    ) -> Future[None]:
        """A topic the broker needs for itself; done when it is there, whoever made it.

        Kafka refuses when there are fewer brokers than the replication factor, and waits; a cluster that small is
        there to be tried out, so the factor is what the brokers in service allow.
        """
        usable = len(self.state.usable_brokers())
        if not usable:
            raise InvalidReplicationFactor("All brokers are currently fenced.")
        return self.create_on_demand(name, partitions, min(replication_factor, usable), configs)

    def create_on_demand(
        self, name: str, partitions: int, replication_factor: int, configs: dict[str, str]
    ) -> Future[None]:
        """Create a topic because somebody wants to use it; asked twice, it is created once."""
        under_way = self.being_created.get(name)
        if under_way is not None:
            return under_way
        future: Future[None] = self.loop.create_future()
        wanted = CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replication_factor,
            assignments=[],
            configs=[CreatableTopicConfig(name=key, value=value) for key, value in configs.items()],
        )
        self.being_created[name] = future

        def created(done: Future[list[CreatableTopicResult]]) -> None:
            self.being_created.pop(name, None)
            if future.done():
                return
            error = done.exception()
            if error is not None:
                future.set_exception(error)
                return
            code = done.result()[0].error_code
            if code in (0, TopicAlreadyExists.code):
                future.set_result(None)
            else:
                future.set_exception(error_of(code)(done.result()[0].error_message))

        self.create_topics([wanted], {name}, validate_only=False).add_done_callback(created)
        return future


REGISTER_BROKER = 0


def _pass_on(done: Future[int], future: Future[int]) -> None:
    if future.done():
        return
    error = done.exception()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
