"""Kafka's errors: one class per error code, of Kafka 4.3.

A request that cannot be served raises one of these anywhere below the handlers; the registry turns it into a reply in
one place. `code` travels; `name` is what Kafka calls it; `is_retriable` says whether a client will try again by itself;
`message` is the text a client shows when the error came with none of its own, and what replies that carry an
`error_message` contain.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["ERRORS", "NONE", "KafkaError", "error_of"]

NONE = 0


class KafkaError(Exception):
    """A request cannot be served. `str(error)` is the text sent with the code where the reply has room for one."""

    code: ClassVar[int]
    name: ClassVar[str]
    message: ClassVar[str]
    is_retriable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(self.message if detail is None else detail)
        self.detail = detail


class RetriableError(KafkaError):
    """One that may be gone when asked again."""

    is_retriable = True


class UnknownServerError(KafkaError):
    code = -1
    name = "UNKNOWN_SERVER_ERROR"
    message = "The server experienced an unexpected error when processing the request."


class OffsetOutOfRange(KafkaError):
    code = 1
    name = "OFFSET_OUT_OF_RANGE"
    message = "The requested offset is not within the range of offsets maintained by the server."


class CorruptMessage(RetriableError):
    code = 2
    name = "CORRUPT_MESSAGE"
    message = (
        "This message has failed its CRC checksum, exceeds the valid size, has a null key for a compacted "
        "topic, or is otherwise corrupt."
    )


class UnknownTopicOrPartition(RetriableError):
    code = 3
    name = "UNKNOWN_TOPIC_OR_PARTITION"
    message = "This server does not host this topic-partition."


class InvalidFetchSize(KafkaError):
    code = 4
    name = "INVALID_FETCH_SIZE"
    message = "The requested fetch size is invalid."


class LeaderNotAvailable(RetriableError):
    code = 5
    name = "LEADER_NOT_AVAILABLE"
    message = "There is no leader for this topic-partition as we are in the middle of a leadership election."


class NotLeaderOrFollower(RetriableError):
    code = 6
    name = "NOT_LEADER_OR_FOLLOWER"
    message = (
        "For requests intended only for the leader, this error indicates that the broker is not the current "
        "leader. For requests intended for any replica, this error indicates that the broker is not a replica"
        " of the topic partition."
    )


class RequestTimedOut(RetriableError):
    code = 7
    name = "REQUEST_TIMED_OUT"
    message = "The request timed out."


class BrokerNotAvailable(KafkaError):
    code = 8
    name = "BROKER_NOT_AVAILABLE"
    message = "The broker is not available."


class ReplicaNotAvailable(RetriableError):
    code = 9
    name = "REPLICA_NOT_AVAILABLE"
    message = (
        "The replica is not available for the requested topic-partition. Produce/Fetch requests and other "
        "requests intended only for the leader or follower return NOT_LEADER_OR_FOLLOWER if the broker is not"
        " a replica of the topic-partition."
    )


class MessageTooLarge(KafkaError):
    code = 10
    name = "MESSAGE_TOO_LARGE"
    message = "The request included a message larger than the max message size the server will accept."


class StaleControllerEpoch(KafkaError):
    code = 11
    name = "STALE_CONTROLLER_EPOCH"
    message = "The controller moved to another broker."


class OffsetMetadataTooLarge(KafkaError):
    code = 12
    name = "OFFSET_METADATA_TOO_LARGE"
    message = "The metadata field of the offset request was too large."


class NetworkException(RetriableError):
    code = 13
    name = "NETWORK_EXCEPTION"
    message = "The server disconnected before a response was received."


class CoordinatorLoadInProgress(RetriableError):
    code = 14
    name = "COORDINATOR_LOAD_IN_PROGRESS"
    message = "The coordinator is loading and hence can't process requests."


class CoordinatorNotAvailable(RetriableError):
    code = 15
    name = "COORDINATOR_NOT_AVAILABLE"
    message = "The coordinator is not available."


class NotCoordinator(RetriableError):
    code = 16
    name = "NOT_COORDINATOR"
    message = "This is not the correct coordinator."


class InvalidTopicException(KafkaError):
    code = 17
    name = "INVALID_TOPIC_EXCEPTION"
    message = "The request attempted to perform an operation on an invalid topic."


class RecordListTooLarge(KafkaError):
    code = 18
    name = "RECORD_LIST_TOO_LARGE"
    message = "The request included message batch larger than the configured segment size on the server."


class NotEnoughReplicas(RetriableError):
    code = 19
    name = "NOT_ENOUGH_REPLICAS"
    message = "Messages are rejected since there are fewer in-sync replicas than required."


class NotEnoughReplicasAfterAppend(RetriableError):
    code = 20
    name = "NOT_ENOUGH_REPLICAS_AFTER_APPEND"
    message = "Messages are written to the log, but to fewer in-sync replicas than required."


class InvalidRequiredAcks(KafkaError):
    code = 21
    name = "INVALID_REQUIRED_ACKS"
    message = "Produce request specified an invalid value for required acks."


class IllegalGeneration(KafkaError):
    code = 22
    name = "ILLEGAL_GENERATION"
    message = "Specified group generation id is not valid."


class InconsistentGroupProtocol(KafkaError):
    code = 23
    name = "INCONSISTENT_GROUP_PROTOCOL"
    message = (
        "The group member's supported protocols are incompatible with those of existing members or first "
        "group member tried to join with empty protocol type or empty protocol list."
    )


class InvalidGroupId(KafkaError):
    code = 24
    name = "INVALID_GROUP_ID"
    message = "The group id is invalid."


class UnknownMemberId(KafkaError):
    code = 25
    name = "UNKNOWN_MEMBER_ID"
    message = "The coordinator is not aware of this member."


class InvalidSessionTimeout(KafkaError):
    code = 26
    name = "INVALID_SESSION_TIMEOUT"
    message = (
        "The session timeout is not within the range allowed by the broker (as configured by "
        "group.min.session.timeout.ms and group.max.session.timeout.ms)."
    )


class RebalanceInProgress(KafkaError):
    code = 27
    name = "REBALANCE_IN_PROGRESS"
    message = "The group is rebalancing, so a rejoin is needed."


class InvalidCommitOffsetSize(KafkaError):
    code = 28
    name = "INVALID_COMMIT_OFFSET_SIZE"
    message = "The committing offset data size is not valid."


class TopicAuthorizationFailed(KafkaError):
    code = 29
    name = "TOPIC_AUTHORIZATION_FAILED"
    message = "Topic authorization failed."


class GroupAuthorizationFailed(KafkaError):
    code = 30
    name = "GROUP_AUTHORIZATION_FAILED"
    message = "Group authorization failed."


class ClusterAuthorizationFailed(KafkaError):
    code = 31
    name = "CLUSTER_AUTHORIZATION_FAILED"
    message = "Cluster authorization failed."


class InvalidTimestamp(KafkaError):
    code = 32
    name = "INVALID_TIMESTAMP"
    message = "The timestamp of the message is out of acceptable range."


class UnsupportedSaslMechanism(KafkaError):
    code = 33
    name = "UNSUPPORTED_SASL_MECHANISM"
    message = "The broker does not support the requested SASL mechanism."


class IllegalSaslState(KafkaError):
    code = 34
    name = "ILLEGAL_SASL_STATE"
    message = "Request is not valid given the current SASL state."


class UnsupportedVersion(KafkaError):
    code = 35
    name = "UNSUPPORTED_VERSION"
    message = "The version of API is not supported."


class TopicAlreadyExists(KafkaError):
    code = 36
    name = "TOPIC_ALREADY_EXISTS"
    message = "Topic with this name already exists."


class InvalidPartitions(KafkaError):
    code = 37
    name = "INVALID_PARTITIONS"
    message = "Number of partitions is below 1."


class InvalidReplicationFactor(KafkaError):
    code = 38
    name = "INVALID_REPLICATION_FACTOR"
    message = "Replication factor is below 1 or larger than the number of available brokers."


class InvalidReplicaAssignment(KafkaError):
    code = 39
    name = "INVALID_REPLICA_ASSIGNMENT"
    message = "Replica assignment is invalid."


class InvalidConfig(KafkaError):
    code = 40
    name = "INVALID_CONFIG"
    message = "Configuration is invalid."


class NotController(RetriableError):
    code = 41
    name = "NOT_CONTROLLER"
    message = "This is not the correct controller for this cluster."


class InvalidRequest(KafkaError):
    code = 42
    name = "INVALID_REQUEST"
    message = (
        "This most likely occurs because of a request being malformed by the client library or the message "
        "was sent to an incompatible broker. See the broker logs for more details."
    )


class UnsupportedForMessageFormat(KafkaError):
    code = 43
    name = "UNSUPPORTED_FOR_MESSAGE_FORMAT"
    message = "The message format version on the broker does not support the request."


class PolicyViolation(KafkaError):
    code = 44
    name = "POLICY_VIOLATION"
    message = "Request parameters do not satisfy the configured policy."


class OutOfOrderSequenceNumber(KafkaError):
    code = 45
    name = "OUT_OF_ORDER_SEQUENCE_NUMBER"
    message = "The broker received an out of order sequence number."


class DuplicateSequenceNumber(KafkaError):
    code = 46
    name = "DUPLICATE_SEQUENCE_NUMBER"
    message = "The broker received a duplicate sequence number."


class InvalidProducerEpoch(KafkaError):
    code = 47
    name = "INVALID_PRODUCER_EPOCH"
    message = "Producer attempted to produce with an old epoch."


class InvalidTxnState(KafkaError):
    code = 48
    name = "INVALID_TXN_STATE"
    message = "The producer attempted a transactional operation in an invalid state."


class InvalidProducerIdMapping(KafkaError):
    code = 49
    name = "INVALID_PRODUCER_ID_MAPPING"
    message = "The producer attempted to use a producer id which is not currently assigned to its transactional id."


class InvalidTransactionTimeout(KafkaError):
    code = 50
    name = "INVALID_TRANSACTION_TIMEOUT"
    message = (
        "The transaction timeout is larger than the maximum value allowed by the broker (as configured by "
        "transaction.max.timeout.ms)."
    )


class ConcurrentTransactions(RetriableError):
    code = 51
    name = "CONCURRENT_TRANSACTIONS"
    message = (
        "The producer attempted to update a transaction while another concurrent operation on the same "
        "transaction was ongoing."
    )


class TransactionCoordinatorFenced(KafkaError):
    code = 52
    name = "TRANSACTION_COORDINATOR_FENCED"
    message = (
        "Indicates that the transaction coordinator sending a WriteTxnMarker is no longer the current "
        "coordinator for a given producer."
    )


class TransactionalIdAuthorizationFailed(KafkaError):
    code = 53
    name = "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    message = "Transactional Id authorization failed."


class SecurityDisabled(KafkaError):
    code = 54
    name = "SECURITY_DISABLED"
    message = "Security features are disabled."


class OperationNotAttempted(KafkaError):
    code = 55
    name = "OPERATION_NOT_ATTEMPTED"
    message = (
        "The broker did not attempt to execute this operation. This may happen for batched RPCs where some "
        "operations in the batch failed, causing the broker to respond without trying the rest."
    )


class KafkaStorageError(RetriableError):
    code = 56
    name = "KAFKA_STORAGE_ERROR"
    message = "Disk error when trying to access log file on the disk."


class LogDirNotFound(KafkaError):
    code = 57
    name = "LOG_DIR_NOT_FOUND"
    message = "The user-specified log directory is not found in the broker config."


class SaslAuthenticationFailed(KafkaError):
    code = 58
    name = "SASL_AUTHENTICATION_FAILED"
    message = "SASL Authentication failed."


class UnknownProducerId(KafkaError):
    code = 59
    name = "UNKNOWN_PRODUCER_ID"
    message = (
        "This exception is raised by the broker if it could not locate the producer metadata associated with "
        "the producerId in question. This could happen if, for instance, the producer's records were deleted "
        "because their retention time had elapsed. Once the last records of the producerId are removed, the "
        "producer's metadata is removed from the broker, and future appends by the producer will return this "
        "exception."
    )


class ReassignmentInProgress(KafkaError):
    code = 60
    name = "REASSIGNMENT_IN_PROGRESS"
    message = "A partition reassignment is in progress."


class DelegationTokenAuthDisabled(KafkaError):
    code = 61
    name = "DELEGATION_TOKEN_AUTH_DISABLED"
    message = "Delegation Token feature is not enabled."


class DelegationTokenNotFound(KafkaError):
    code = 62
    name = "DELEGATION_TOKEN_NOT_FOUND"
    message = "Delegation Token is not found on server."


class DelegationTokenOwnerMismatch(KafkaError):
    code = 63
    name = "DELEGATION_TOKEN_OWNER_MISMATCH"
    message = "Specified Principal is not valid Owner/Renewer."


class DelegationTokenRequestNotAllowed(KafkaError):
    code = 64
    name = "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"
    message = (
        "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token "
        "authenticated channels."
    )


class DelegationTokenAuthorizationFailed(KafkaError):
    code = 65
    name = "DELEGATION_TOKEN_AUTHORIZATION_FAILED"
    message = "Delegation Token authorization failed."


class DelegationTokenExpired(KafkaError):
    code = 66
    name = "DELEGATION_TOKEN_EXPIRED"
    message = "Delegation Token is expired."


class InvalidPrincipalType(KafkaError):
    code = 67
    name = "INVALID_PRINCIPAL_TYPE"
    message = "Supplied principalType is not supported."


class NonEmptyGroup(KafkaError):
    code = 68
    name = "NON_EMPTY_GROUP"
    message = "The group is not empty."


class GroupIdNotFound(KafkaError):
    code = 69
    name = "GROUP_ID_NOT_FOUND"
    message = "The group id does not exist."


class FetchSessionIdNotFound(RetriableError):
    code = 70
    name = "FETCH_SESSION_ID_NOT_FOUND"
    message = "The fetch session ID was not found."


class InvalidFetchSessionEpoch(RetriableError):
    code = 71
    name = "INVALID_FETCH_SESSION_EPOCH"
    message = "The fetch session epoch is invalid."


class ListenerNotFound(RetriableError):
    code = 72
    name = "LISTENER_NOT_FOUND"
    message = (
        "There is no listener on the leader broker that matches the listener on which metadata request was processed."
    )


class TopicDeletionDisabled(KafkaError):
    code = 73
    name = "TOPIC_DELETION_DISABLED"
    message = "Topic deletion is disabled."


class FencedLeaderEpoch(RetriableError):
    code = 74
    name = "FENCED_LEADER_EPOCH"
    message = "The leader epoch in the request is older than the epoch on the broker."


class UnknownLeaderEpoch(RetriableError):
    code = 75
    name = "UNKNOWN_LEADER_EPOCH"
    message = "The leader epoch in the request is newer than the epoch on the broker."


class UnsupportedCompressionType(KafkaError):
    code = 76
    name = "UNSUPPORTED_COMPRESSION_TYPE"
    message = "The requesting client does not support the compression type of given partition."


class StaleBrokerEpoch(KafkaError):
    code = 77
    name = "STALE_BROKER_EPOCH"
    message = "Broker epoch has changed."


class OffsetNotAvailable(RetriableError):
    code = 78
    name = "OFFSET_NOT_AVAILABLE"
    message = (
        "The leader high watermark has not caught up from a recent leader election so the offsets cannot be "
        "guaranteed to be monotonically increasing."
    )


class MemberIdRequired(KafkaError):
    code = 79
    name = "MEMBER_ID_REQUIRED"
    message = "The group member needs to have a valid member id before actually entering a consumer group."


class PreferredLeaderNotAvailable(RetriableError):
    code = 80
    name = "PREFERRED_LEADER_NOT_AVAILABLE"
    message = "The preferred leader was not available."


class GroupMaxSizeReached(KafkaError):
    code = 81
    name = "GROUP_MAX_SIZE_REACHED"
    message = "The group has reached its maximum size."


class FencedInstanceId(KafkaError):
    code = 82
    name = "FENCED_INSTANCE_ID"
    message = (
        "The broker rejected this static consumer since another consumer with the same group.instance.id has "
        "registered with a different member.id."
    )


class EligibleLeadersNotAvailable(RetriableError):
    code = 83
    name = "ELIGIBLE_LEADERS_NOT_AVAILABLE"
    message = "Eligible topic partition leaders are not available."


class ElectionNotNeeded(RetriableError):
    code = 84
    name = "ELECTION_NOT_NEEDED"
    message = "Leader election not needed for topic partition."


class NoReassignmentInProgress(KafkaError):
    code = 85
    name = "NO_REASSIGNMENT_IN_PROGRESS"
    message = "No partition reassignment is in progress."


class GroupSubscribedToTopic(KafkaError):
    code = 86
    name = "GROUP_SUBSCRIBED_TO_TOPIC"
    message = "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."


class InvalidRecord(KafkaError):
    code = 87
    name = "INVALID_RECORD"
    message = "This record has failed the validation on broker and hence will be rejected."


class UnstableOffsetCommit(RetriableError):
    code = 88
    name = "UNSTABLE_OFFSET_COMMIT"
    message = "There are unstable offsets that need to be cleared."


class ThrottlingQuotaExceeded(RetriableError):
    code = 89
    name = "THROTTLING_QUOTA_EXCEEDED"
    message = "The throttling quota has been exceeded."


class ProducerFenced(KafkaError):
    code = 90
    name = "PRODUCER_FENCED"
    message = "There is a newer producer with the same transactionalId which fences the current one."


class ResourceNotFound(KafkaError):
    code = 91
    name = "RESOURCE_NOT_FOUND"
    message = "A request illegally referred to a resource that does not exist."


class DuplicateResource(KafkaError):
    code = 92
    name = "DUPLICATE_RESOURCE"
    message = "A request illegally referred to the same resource twice."


class UnacceptableCredential(KafkaError):
    code = 93
    name = "UNACCEPTABLE_CREDENTIAL"
    message = "Requested credential would not meet criteria for acceptability."


class InconsistentVoterSet(KafkaError):
    code = 94
    name = "INCONSISTENT_VOTER_SET"
    message = (
        "Indicates that the either the sender or recipient of a voter-only request is not one of the expected voters."
    )


class InvalidUpdateVersion(KafkaError):
    code = 95
    name = "INVALID_UPDATE_VERSION"
    message = "The given update version was invalid."


class FeatureUpdateFailed(KafkaError):
    code = 96
    name = "FEATURE_UPDATE_FAILED"
    message = "Unable to update finalized features due to an unexpected server error."


class PrincipalDeserializationFailure(KafkaError):
    code = 97
    name = "PRINCIPAL_DESERIALIZATION_FAILURE"
    message = (
        "Request principal deserialization failed during forwarding. This indicates an internal error on the "
        "broker cluster security setup."
    )


class SnapshotNotFound(KafkaError):
    code = 98
    name = "SNAPSHOT_NOT_FOUND"
    message = "Requested snapshot was not found."


class PositionOutOfRange(KafkaError):
    code = 99
    name = "POSITION_OUT_OF_RANGE"
    message = "Requested position is not greater than or equal to zero, and less than the size of the snapshot."


class UnknownTopicId(RetriableError):
    code = 100
    name = "UNKNOWN_TOPIC_ID"
    message = "This server does not host this topic ID."


class DuplicateBrokerRegistration(KafkaError):
    code = 101
    name = "DUPLICATE_BROKER_REGISTRATION"
    message = "This broker ID is already in use."


class BrokerIdNotRegistered(KafkaError):
    code = 102
    name = "BROKER_ID_NOT_REGISTERED"
    message = "The given broker ID was not registered."


class InconsistentTopicId(RetriableError):
    code = 103
    name = "INCONSISTENT_TOPIC_ID"
    message = "The log's topic ID did not match the topic ID in the request."


class InconsistentClusterId(KafkaError):
    code = 104
    name = "INCONSISTENT_CLUSTER_ID"
    message = "The clusterId in the request does not match that found on the server."


class TransactionalIdNotFound(KafkaError):
    code = 105
    name = "TRANSACTIONAL_ID_NOT_FOUND"
    message = "The transactionalId could not be found."


class FetchSessionTopicIdError(RetriableError):
    code = 106
    name = "FETCH_SESSION_TOPIC_ID_ERROR"
    message = "The fetch session encountered inconsistent topic ID usage."


class IneligibleReplica(KafkaError):
    code = 107
    name = "INELIGIBLE_REPLICA"
    message = "The new ISR contains at least one ineligible replica."


class NewLeaderElected(KafkaError):
    code = 108
    name = "NEW_LEADER_ELECTED"
    message = "The AlterPartition request successfully updated the partition state but the leader has changed."


class OffsetMovedToTieredStorage(KafkaError):
    code = 109
    name = "OFFSET_MOVED_TO_TIERED_STORAGE"
    message = "The requested offset is moved to tiered storage."


class FencedMemberEpoch(KafkaError):
    code = 110
    name = "FENCED_MEMBER_EPOCH"
    message = (
        "The member epoch is fenced by the group coordinator. The member must abandon all its partitions and rejoin."
    )


class UnreleasedInstanceId(KafkaError):
    code = 111
    name = "UNRELEASED_INSTANCE_ID"
    message = "The instance ID is still used by another member in the consumer group. That member must leave first."


class UnsupportedAssignor(KafkaError):
    code = 112
    name = "UNSUPPORTED_ASSIGNOR"
    message = "The assignor or its version range is not supported by the consumer group."


class StaleMemberEpoch(KafkaError):
    code = 113
    name = "STALE_MEMBER_EPOCH"
    message = (
        "The member epoch is stale. The member must retry after receiving its updated member epoch via the "
        "ConsumerGroupHeartbeat API."
    )


class MismatchedEndpointType(KafkaError):
    code = 114
    name = "MISMATCHED_ENDPOINT_TYPE"
    message = "The request was sent to an endpoint of the wrong type."


class UnsupportedEndpointType(KafkaError):
    code = 115
    name = "UNSUPPORTED_ENDPOINT_TYPE"
    message = "This endpoint type is not supported yet."


class UnknownControllerId(KafkaError):
    code = 116
    name = "UNKNOWN_CONTROLLER_ID"
    message = "This controller ID is not known."


class UnknownSubscriptionId(KafkaError):
    code = 117
    name = "UNKNOWN_SUBSCRIPTION_ID"
    message = "Client sent a push telemetry request with an invalid or outdated subscription ID."


class TelemetryTooLarge(KafkaError):
    code = 118
    name = "TELEMETRY_TOO_LARGE"
    message = "Client sent a push telemetry request larger than the maximum size the broker will accept."


class InvalidRegistration(KafkaError):
    code = 119
    name = "INVALID_REGISTRATION"
    message = "The controller has considered the broker registration to be invalid."


class TransactionAbortable(KafkaError):
    code = 120
    name = "TRANSACTION_ABORTABLE"
    message = (
        "The server encountered an error with the transaction. The client can abort the transaction to "
        "continue using this transactional ID."
    )


class InvalidRecordState(KafkaError):
    code = 121
    name = "INVALID_RECORD_STATE"
    message = "The record state is invalid. The acknowledgement of delivery could not be completed."


class ShareSessionNotFound(RetriableError):
    code = 122
    name = "SHARE_SESSION_NOT_FOUND"
    message = "The share session was not found."


class InvalidShareSessionEpoch(RetriableError):
    code = 123
    name = "INVALID_SHARE_SESSION_EPOCH"
    message = "The share session epoch is invalid."


class FencedStateEpoch(KafkaError):
    code = 124
    name = "FENCED_STATE_EPOCH"
    message = "The share coordinator rejected the request because the share-group state epoch did not match."


class InvalidVoterKey(KafkaError):
    code = 125
    name = "INVALID_VOTER_KEY"
    message = "The voter key doesn't match the receiving replica's key."


class DuplicateVoter(KafkaError):
    code = 126
    name = "DUPLICATE_VOTER"
    message = "The voter is already part of the set of voters."


class VoterNotFound(KafkaError):
    code = 127
    name = "VOTER_NOT_FOUND"
    message = "The voter is not part of the set of voters."


class InvalidRegularExpression(KafkaError):
    code = 128
    name = "INVALID_REGULAR_EXPRESSION"
    message = "The regular expression is not valid."


class RebootstrapRequired(KafkaError):
    code = 129
    name = "REBOOTSTRAP_REQUIRED"
    message = "Client metadata is stale. The client should rebootstrap to obtain new metadata."


class StreamsInvalidTopology(KafkaError):
    code = 130
    name = "STREAMS_INVALID_TOPOLOGY"
    message = "The supplied topology is invalid."


class StreamsInvalidTopologyEpoch(KafkaError):
    code = 131
    name = "STREAMS_INVALID_TOPOLOGY_EPOCH"
    message = "The supplied topology epoch is invalid."


class StreamsTopologyFenced(KafkaError):
    code = 132
    name = "STREAMS_TOPOLOGY_FENCED"
    message = "The supplied topology epoch is outdated."


class ShareSessionLimitReached(RetriableError):
    code = 133
    name = "SHARE_SESSION_LIMIT_REACHED"
    message = "The limit of share sessions has been reached."


def _by_code() -> dict[int, type[KafkaError]]:
    """Every class above that has a code, by that code."""
    found: dict[int, type[KafkaError]] = {}
    for group in (KafkaError, RetriableError):
        for error in group.__subclasses__():
            if "code" in vars(error):
                found[error.code] = error
    return found


ERRORS = _by_code()


def error_of(code: int) -> type[KafkaError]:
    """The class of a code; UnknownServerError for one that is none."""
    return ERRORS.get(code, UnknownServerError)
