"""Every config of Kafka 4.3.1: the tables behind DescribeConfigs, server.properties and topic configs.

A row is `name | type | default | rule | … | reader` as `metadata/configs.read_table` reads it. The fifth cell of a
broker config says how Kafka lets it be changed at run time (cluster: for all brokers or one; broker: for one; - : not at all),
that of a topic's or group's names the broker configs it falls back on. The last says which module acts on the value:
`-` marks what nothing here reads; such a config is described, checked, and warned about when a file sets it.
"""

# ruff: noqa: E501   a row is a row

BROKER = """
add.partitions.to.txn.retry.backoff.max.ms | INT | 100 | [0..] | - | -
add.partitions.to.txn.retry.backoff.ms | INT | 20 | [1..] | - | -
advertised.listeners | LIST | ~ | non-empty list | - | broker
alter.config.policy.class.name | CLASS | ~ | - | - | -
alter.log.dirs.replication.quota.window.num | INT | 11 | [1..] | - | -
alter.log.dirs.replication.quota.window.size.seconds | INT | 1 | [1..] | - | -
authorizer.class.name | STRING |  | non-null string | - | -
auto.create.topics.enable | BOOLEAN | true | - | - | api/topics
auto.leader.rebalance.enable | BOOLEAN | true | - | - | -
background.threads | INT | 10 | [1..] | cluster | -
broker.heartbeat.interval.ms | INT | 2000 | - | - | -
broker.id | INT | -1 | - | - | broker
broker.rack | STRING | ~ | - | - | broker
broker.session.timeout.ms | INT | 9000 | - | - | -
client.quota.callback.class | CLASS | ~ | - | - | -
compression.gzip.level | INT | -1 | [1..9] or -1 | cluster | log/config
compression.lz4.level | INT | 9 | [1..17] | cluster | log/config
compression.type | STRING | producer | [uncompressed, zstd, lz4, snappy, gzip, producer] | cluster | log/config
compression.zstd.level | INT | 3 | [-131072..22] | cluster | log/config
config.providers | LIST |  | - | cluster | -
connection.failed.authentication.delay.ms | INT | 100 | [0..] | - | -
connections.max.idle.ms | LONG | 600000 | - | - | broker
connections.max.reauth.ms | LONG | 0 | - | - | -
controlled.shutdown.enable | BOOLEAN | true | - | - | -
controller.listener.names | LIST | ! | non-empty list | - | broker
controller.performance.always.log.threshold.ms+ | LONG | 2000 | [0..] | - | -
controller.performance.sample.period.ms+ | LONG | 60000 | [100..] | - | -
controller.quorum.append.linger.ms | INT | 25 | [0..] | - | -
controller.quorum.auto.join.enable | BOOLEAN | false | - | - | -
controller.quorum.bootstrap.servers | LIST |  | host:port | - | broker
controller.quorum.election.backoff.max.ms | INT | 1000 | [0..] | - | raft
controller.quorum.election.timeout.ms | INT | 1000 | [0..] | - | raft
controller.quorum.fetch.max.bytes | INT | 1048576 | [1..] | - | -
controller.quorum.fetch.snapshot.max.bytes | INT | 1048576 | [1..] | - | -
controller.quorum.fetch.timeout.ms | INT | 2000 | [0..] | - | raft
controller.quorum.request.timeout.ms | INT | 2000 | [0..] | - | raft
controller.quorum.retry.backoff.ms | INT | 20 | [0..] | - | raft
controller.quorum.voters | LIST |  | id@host:port | - | broker
controller.quota.window.num | INT | 11 | [1..] | - | -
controller.quota.window.size.seconds | INT | 1 | [1..] | - | -
controller.socket.timeout.ms | INT | 30000 | - | - | -
cordoned.log.dirs | LIST |  | - | broker | -
create.topic.policy.class.name | CLASS | ~ | - | - | -
default.replication.factor | INT | 1 | - | - | controller/topics
delegation.token.expiry.check.interval.ms | LONG | 3600000 | [1..] | - | -
delegation.token.expiry.time.ms | LONG | 86400000 | [1..] | - | -
delegation.token.max.lifetime.ms | LONG | 604800000 | [1..] | - | -
delegation.token.secret.key | PASSWORD | ~ | - | - | -
delete.records.purgatory.purge.interval.requests | INT | 1 | - | - | -
delete.topic.enable | BOOLEAN | true | - | - | controller/topics
early.start.listeners | LIST | ~ | - | - | -
fetch.max.bytes | INT | 57671680 | [1024..] | - | replica/manager
fetch.purgatory.purge.interval.requests | INT | 1000 | - | - | -
follower.fetch.last.tiered.offset.enable | BOOLEAN | false | - | cluster | -
group.consumer.assignment.interval.ms | INT | 1000 | [0..] | cluster | -
group.consumer.assignors | LIST | uniform,range | non-empty list | - | -
group.consumer.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.consumer.max.assignment.interval.ms | INT | 15000 | [0..] | - | -
group.consumer.max.heartbeat.interval.ms | INT | 15000 | [1..] | - | -
group.consumer.max.session.timeout.ms | INT | 60000 | [1..] | - | -
group.consumer.max.size | INT | 2147483647 | [1..] | - | -
group.consumer.migration.policy | STRING | bidirectional | (case insensitive) [DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL] | - | -
group.consumer.min.assignment.interval.ms | INT | 0 | [0..] | - | -
group.consumer.min.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.consumer.min.session.timeout.ms | INT | 45000 | [1..] | - | -
group.consumer.regex.refresh.interval.ms+ | INT | 600000 | [10000..] | - | -
group.consumer.session.timeout.ms | INT | 45000 | [1..] | - | -
group.coordinator.append.linger.ms | INT | -1 | [-1..] | - | -
group.coordinator.background.threads | INT | 2 | [1..] | - | -
group.coordinator.cached.buffer.max.bytes | INT | 1048588 | [524288..] | cluster | -
group.coordinator.rebalance.protocols | LIST | classic,consumer,streams | non-empty [consumer, classic, share, streams] | - | -
group.coordinator.threads | INT | 4 | [1..] | - | -
group.initial.rebalance.delay.ms | INT | 3000 | - | - | coordinator
group.max.session.timeout.ms | INT | 1800000 | - | - | coordinator
group.max.size | INT | 2147483647 | [1..] | - | coordinator
group.min.session.timeout.ms | INT | 6000 | - | - | coordinator
group.share.assignment.interval.ms | INT | 1000 | [0..] | cluster | -
group.share.assignors | LIST | simple | non-empty list | - | -
group.share.delivery.count.limit | INT | 5 | [2..10] | - | -
group.share.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.share.initialize.retry.interval.ms+ | INT | 30000 | [1..] | - | -
group.share.max.assignment.interval.ms | INT | 15000 | [0..] | - | -
group.share.max.delivery.count.limit | INT | 10 | [5..25] | - | -
group.share.max.heartbeat.interval.ms | INT | 15000 | [1..] | - | -
group.share.max.partition.max.record.locks | INT | 4000 | [2000..10000] | - | -
group.share.max.record.lock.duration.ms | INT | 60000 | [30000..3600000] | - | -
group.share.max.session.timeout.ms | INT | 60000 | [1..] | - | -
group.share.max.share.sessions | INT | 2000 | [1..] | - | -
group.share.max.size | INT | 200 | [1..1000] | - | -
group.share.min.assignment.interval.ms | INT | 0 | [0..] | - | -
group.share.min.delivery.count.limit | INT | 2 | [2..5] | - | -
group.share.min.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.share.min.partition.max.record.locks | INT | 100 | [100..2000] | - | -
group.share.min.record.lock.duration.ms | INT | 15000 | [1000..30000] | - | -
group.share.min.session.timeout.ms | INT | 45000 | [1..] | - | -
group.share.partition.max.record.locks | INT | 2000 | [100..10000] | - | -
group.share.persister.class.name+ | STRING | org.apache.kafka.server.share.persister.DefaultStatePersister | - | - | -
group.share.record.lock.duration.ms | INT | 30000 | [1000..3600000] | - | -
group.share.session.timeout.ms | INT | 45000 | [1..] | - | -
group.streams.assignment.interval.ms | INT | 1000 | [0..] | cluster | -
group.streams.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.streams.initial.rebalance.delay.ms | INT | 3000 | [0..] | - | -
group.streams.max.assignment.interval.ms | INT | 15000 | [0..] | - | -
group.streams.max.heartbeat.interval.ms | INT | 15000 | [1..] | - | -
group.streams.max.session.timeout.ms | INT | 60000 | [1..] | - | -
group.streams.max.size | INT | 2147483647 | [1..] | - | -
group.streams.max.standby.replicas | INT | 2 | [0..] | - | -
group.streams.min.assignment.interval.ms | INT | 0 | [0..] | - | -
group.streams.min.heartbeat.interval.ms | INT | 5000 | [1..] | - | -
group.streams.min.session.timeout.ms | INT | 45000 | [1..] | - | -
group.streams.num.standby.replicas | INT | 0 | [0..] | - | -
group.streams.session.timeout.ms | INT | 45000 | [1..] | - | -
initial.broker.registration.timeout.ms | INT | 60000 | - | - | -
inter.broker.listener.name | STRING | ~ | - | - | config
internal.metadata.delete.delay.millis+ | LONG | 60000 | - | - | -
internal.metadata.log.segment.bytes+ | INT | ~ | - | - | -
internal.metadata.max.batch.size.in.bytes+ | INT | 8388608 | - | - | -
kafka.metrics.polling.interval.secs | INT | 10 | [1..] | - | -
kafka.metrics.reporters | LIST |  | - | - | -
leader.imbalance.check.interval.seconds | LONG | 300 | [1..] | - | -
listener.security.protocol.map | STRING | SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT | - | broker | broker
listeners | LIST | PLAINTEXT://:9092 | non-empty list | broker | broker
log.cleaner.backoff.ms | LONG | 15000 | [0..] | cluster | -
log.cleaner.dedupe.buffer.size | LONG | 134217728 | - | cluster | -
log.cleaner.delete.retention.ms | LONG | 86400000 | [0..] | cluster | -
log.cleaner.enable | BOOLEAN | true | - | - | -
log.cleaner.io.buffer.load.factor | DOUBLE | 0.9 | - | cluster | -
log.cleaner.io.buffer.size | INT | 524288 | [0..] | cluster | -
log.cleaner.io.max.bytes.per.second | DOUBLE | 1.7976931348623157E308 | - | cluster | -
log.cleaner.max.compaction.lag.ms | LONG | 9223372036854775807 | [1..] | cluster | -
log.cleaner.min.cleanable.ratio | DOUBLE | 0.5 | [0..1] | cluster | -
log.cleaner.min.compaction.lag.ms | LONG | 0 | [0..] | cluster | -
log.cleaner.threads | INT | 1 | [0..] | cluster | -
log.cleanup.policy | LIST | delete | [compact, delete] | cluster | log/config
log.dir | LIST | /tmp/kafka-logs | non-empty list | - | broker
log.dir.failure.timeout.ms | LONG | 30000 | [1..] | - | -
log.dirs | LIST | ~ | non-empty list | - | broker
log.flush.interval.messages | LONG | 9223372036854775807 | [1..] | cluster | log/config
log.flush.interval.ms | LONG | ~ | - | cluster | log/config
log.flush.offset.checkpoint.interval.ms | INT | 60000 | [0..] | - | replica/manager
log.flush.scheduler.interval.ms | LONG | 9223372036854775807 | - | - | replica/manager
log.flush.start.offset.checkpoint.interval.ms | INT | 60000 | [0..] | - | replica/manager
log.index.interval.bytes | INT | 4096 | [0..] | cluster | log/config
log.index.size.max.bytes | INT | 10485760 | [4..] | cluster | log/config
log.initial.task.delay.ms+ | LONG | 30000 | [0..] | - | replica/manager
log.local.retention.bytes | LONG | -2 | [-2..] | cluster | -
log.local.retention.ms | LONG | -2 | [-2..] | cluster | -
log.message.timestamp.after.max.ms | LONG | 3600000 | [0..] | cluster | log/config
log.message.timestamp.before.max.ms | LONG | 9223372036854775807 | [0..] | cluster | log/config
log.message.timestamp.type | STRING | CreateTime | [CreateTime, LogAppendTime] | cluster | log/config
log.preallocate | BOOLEAN | false | - | cluster | -
log.retention.bytes | LONG | -1 | - | cluster | log/config
log.retention.check.interval.ms | LONG | 300000 | [1..] | - | replica/manager
log.retention.hours | INT | 168 | - | - | log/config
log.retention.minutes | INT | ~ | - | - | log/config
log.retention.ms | LONG | ~ | - | cluster | log/config
log.roll.hours | INT | 168 | [1..] | - | log/config
log.roll.jitter.hours | INT | 0 | [0..] | - | log/config
log.roll.jitter.ms | LONG | ~ | - | cluster | log/config
log.roll.ms | LONG | ~ | - | cluster | log/config
log.segment.bytes | INT | 1073741824 | [1048576..] | cluster | log/config
log.segment.delete.delay.ms | LONG | 60000 | [0..] | cluster | log/config
max.connection.creation.rate | INT | 2147483647 | [0..] | cluster | -
max.connections | INT | 2147483647 | [0..] | cluster | admission
max.connections.per.ip | INT | 2147483647 | [0..] | cluster | admission
max.connections.per.ip.overrides | STRING |  | - | cluster | -
max.incremental.fetch.session.cache.slots | INT | 1000 | [0..] | - | replica/manager
max.request.partition.size.limit | INT | 2000 | [1..] | - | api/topics
message.max.bytes | INT | 1048588 | [0..] | cluster | log/config
metadata.log.dir | STRING | ~ | - | - | broker
metadata.log.max.record.bytes.between.snapshots | LONG | 20971520 | [1..] | - | raft
metadata.log.max.snapshot.interval.ms | LONG | 3600000 | [0..] | - | raft
metadata.log.segment.bytes | INT | 1073741824 | [8388608..] | - | raft
metadata.log.segment.ms | LONG | 604800000 | - | - | raft
metadata.max.idle.interval.ms | INT | 500 | [0..] | - | -
metadata.max.retention.bytes | LONG | 104857600 | - | - | raft
metadata.max.retention.ms | LONG | 604800000 | - | - | -
metric.reporters | LIST | org.apache.kafka.common.metrics.JmxReporter | - | cluster | -
metrics.num.samples | INT | 2 | [1..] | - | -
metrics.recording.level | STRING | INFO | - | - | -
metrics.sample.window.ms | LONG | 30000 | [1..] | - | -
min.insync.replicas | INT | 1 | [1..] | cluster | log/config
node.id | INT | ! | [0..] | - | broker
num.io.threads | INT | 8 | [1..] | cluster | -
num.network.threads | INT | 3 | [1..] | cluster | -
num.partitions | INT | 1 | [1..] | - | controller/topics
num.recovery.threads.per.data.dir | INT | 2 | [1..] | cluster | -
num.replica.alter.log.dirs.threads | INT | ~ | - | - | -
num.replica.fetchers | INT | 1 | [1..] | cluster | -
offset.metadata.max.bytes | INT | 4096 | - | - | coordinator
offsets.commit.timeout.ms | INT | 5000 | [1..] | - | coordinator
offsets.load.buffer.size | INT | 5242880 | [1..] | - | coordinator
offsets.retention.check.interval.ms | LONG | 600000 | [1..] | - | coordinator
offsets.retention.minutes | INT | 10080 | [1..] | - | coordinator
offsets.topic.compression.codec | INT | 0 | - | - | -
offsets.topic.num.partitions | INT | 50 | [1..] | - | coordinator
offsets.topic.replication.factor | SHORT | 3 | [1..] | - | coordinator
offsets.topic.segment.bytes | INT | 104857600 | [1..] | - | coordinator
principal.builder.class | CLASS | org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder | - | broker | -
process.roles | LIST | ! | non-empty [broker, controller] | - | broker
producer.id.expiration.check.interval.ms+ | INT | 600000 | [1..] | - | -
producer.id.expiration.ms | INT | 86400000 | [1..] | cluster | replica/manager
producer.purgatory.purge.interval.requests | INT | 1000 | - | - | -
queued.max.request.bytes | LONG | -1 | - | - | -
queued.max.requests | INT | 500 | [1..] | - | -
quota.window.num | INT | 11 | [1..] | - | -
quota.window.size.seconds | INT | 1 | [1..] | - | -
remote.fetch.max.wait.ms | INT | 500 | [1..] | cluster | -
remote.list.offsets.request.timeout.ms | LONG | 30000 | [1..] | cluster | -
remote.log.index.file.cache.total.size.bytes | LONG | 1073741824 | [1..] | cluster | -
remote.log.index.file.cache.ttl.ms+ | LONG | 900000 | [-1..] | - | -
remote.log.manager.copier.thread.pool.size | INT | 10 | [1..] | cluster | -
remote.log.manager.copy.max.bytes.per.second | LONG | 9223372036854775807 | [1..] | cluster | -
remote.log.manager.copy.quota.window.num | INT | 11 | [1..] | - | -
remote.log.manager.copy.quota.window.size.seconds | INT | 1 | [1..] | - | -
remote.log.manager.expiration.thread.pool.size | INT | 10 | [1..] | cluster | -
remote.log.manager.fetch.max.bytes.per.second | LONG | 9223372036854775807 | [1..] | cluster | -
remote.log.manager.fetch.quota.window.num | INT | 11 | [1..] | - | -
remote.log.manager.fetch.quota.window.size.seconds | INT | 1 | [1..] | - | -
remote.log.manager.follower.thread.pool.size | INT | 2 | [1..] | cluster | -
remote.log.manager.task.interval.ms | LONG | 30000 | [1..] | - | -
remote.log.manager.task.retry.backoff.max.ms+ | LONG | 30000 | [1..] | - | -
remote.log.manager.task.retry.backoff.ms+ | LONG | 500 | [1..] | - | -
remote.log.manager.task.retry.jitter+ | DOUBLE | 0.2 | [0..0.5] | - | -
remote.log.manager.thread.pool.size | INT | 2 | [1..] | - | -
remote.log.metadata.custom.metadata.max.bytes | INT | 128 | [0..] | - | -
remote.log.metadata.manager.class.name | STRING | org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager | non-empty string | - | -
remote.log.metadata.manager.class.path | STRING | ~ | - | - | -
remote.log.metadata.manager.impl.prefix | STRING | rlmm.config. | non-empty string | - | -
remote.log.metadata.manager.listener.name | STRING | ~ | non-empty string | - | -
remote.log.reader.max.pending.tasks | INT | 100 | [1..] | - | -
remote.log.reader.threads | INT | 10 | [1..] | cluster | -
remote.log.storage.manager.class.name | STRING | ~ | non-empty string | - | -
remote.log.storage.manager.class.path | STRING | ~ | - | - | -
remote.log.storage.manager.impl.prefix | STRING | rsm.config. | non-empty string | - | -
remote.log.storage.system.enable | BOOLEAN | false | - | - | -
replica.fetch.backoff.ms | INT | 1000 | [0..] | - | -
replica.fetch.max.bytes | INT | 1048576 | [0..] | - | -
replica.fetch.min.bytes | INT | 1 | - | - | -
replica.fetch.response.max.bytes | INT | 10485760 | [0..] | - | -
replica.fetch.wait.max.ms | INT | 500 | - | - | -
replica.high.watermark.checkpoint.interval.ms | LONG | 5000 | - | - | replica/manager
replica.lag.time.max.ms | LONG | 30000 | - | - | -
replica.selector.class | STRING | ~ | - | - | -
replica.socket.receive.buffer.bytes | INT | 65536 | - | - | -
replica.socket.timeout.ms | INT | 30000 | - | - | -
replication.quota.window.num | INT | 11 | [1..] | - | -
replication.quota.window.size.seconds | INT | 1 | [1..] | - | -
request.timeout.ms | INT | 30000 | - | - | -
sasl.client.callback.handler.class | CLASS | ~ | - | - | -
sasl.enabled.mechanisms | LIST | GSSAPI | - | broker | -
sasl.jaas.config | PASSWORD | ~ | - | broker | -
sasl.kerberos.kinit.cmd | STRING | /usr/bin/kinit | - | broker | -
sasl.kerberos.min.time.before.relogin | LONG | 60000 | - | broker | -
sasl.kerberos.principal.to.local.rules | LIST | DEFAULT | - | broker | -
sasl.kerberos.service.name | STRING | ~ | - | broker | -
sasl.kerberos.ticket.renew.jitter | DOUBLE | 0.05 | - | broker | -
sasl.kerberos.ticket.renew.window.factor | DOUBLE | 0.8 | - | broker | -
sasl.login.callback.handler.class | CLASS | ~ | - | - | -
sasl.login.class | CLASS | ~ | - | - | -
sasl.login.connect.timeout.ms | INT | ~ | - | - | -
sasl.login.read.timeout.ms | INT | ~ | - | - | -
sasl.login.refresh.buffer.seconds | SHORT | 300 | - | broker | -
sasl.login.refresh.min.period.seconds | SHORT | 60 | - | broker | -
sasl.login.refresh.window.factor | DOUBLE | 0.8 | - | broker | -
sasl.login.refresh.window.jitter | DOUBLE | 0.05 | - | broker | -
sasl.login.retry.backoff.max.ms | LONG | 10000 | - | - | -
sasl.login.retry.backoff.ms | LONG | 100 | - | - | -
sasl.mechanism.controller.protocol | STRING | GSSAPI | - | - | -
sasl.mechanism.inter.broker.protocol | STRING | GSSAPI | - | broker | -
sasl.oauthbearer.assertion.algorithm | STRING | RS256 | (case insensitive) [ES256, RS256] | - | -
sasl.oauthbearer.assertion.claim.aud | STRING | ~ | - | - | -
sasl.oauthbearer.assertion.claim.exp.seconds | INT | 300 | [0..86400] | - | -
sasl.oauthbearer.assertion.claim.iss | STRING | ~ | - | - | -
sasl.oauthbearer.assertion.claim.jti.include | BOOLEAN | false | - | - | -
sasl.oauthbearer.assertion.claim.nbf.seconds | INT | 60 | [0..3600] | - | -
sasl.oauthbearer.assertion.claim.sub | STRING | ~ | - | - | -
sasl.oauthbearer.assertion.file | STRING | ~ | - | - | -
sasl.oauthbearer.assertion.private.key.file | STRING | ~ | - | - | -
sasl.oauthbearer.assertion.private.key.passphrase | PASSWORD | ~ | - | - | -
sasl.oauthbearer.assertion.template.file | STRING | ~ | - | - | -
sasl.oauthbearer.client.credentials.client.id | STRING | ~ | - | - | -
sasl.oauthbearer.client.credentials.client.secret | PASSWORD | ~ | - | - | -
sasl.oauthbearer.clock.skew.seconds | INT | 30 | - | - | -
sasl.oauthbearer.expected.audience | LIST |  | - | - | -
sasl.oauthbearer.expected.issuer | STRING | ~ | - | - | -
sasl.oauthbearer.jwks.endpoint.refresh.ms | LONG | 3600000 | - | - | -
sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms | LONG | 10000 | - | - | -
sasl.oauthbearer.jwks.endpoint.retry.backoff.ms | LONG | 100 | - | - | -
sasl.oauthbearer.jwks.endpoint.url | STRING | ~ | - | - | -
sasl.oauthbearer.jwt.retriever.class | CLASS | org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever | - | - | -
sasl.oauthbearer.jwt.validator.class | CLASS | org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator | - | - | -
sasl.oauthbearer.scope | STRING | ~ | - | - | -
sasl.oauthbearer.scope.claim.name | STRING | scope | - | - | -
sasl.oauthbearer.sub.claim.name | STRING | sub | - | - | -
sasl.oauthbearer.token.endpoint.url | STRING | ~ | - | - | -
sasl.server.callback.handler.class | CLASS | ~ | - | - | -
sasl.server.max.receive.size | INT | 524288 | - | - | -
security.inter.broker.protocol | STRING | PLAINTEXT | [PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL] | - | config
security.providers | STRING | ~ | - | - | -
server.max.startup.time.ms+ | LONG | 9223372036854775807 | [0..] | - | -
share.coordinator.append.linger.ms | INT | -1 | [-1..] | - | -
share.coordinator.cached.buffer.max.bytes | INT | 1048588 | [524288..] | cluster | -
share.coordinator.cold.partition.snapshot.interval.ms+ | INT | 300000 | [1..] | - | -
share.coordinator.load.buffer.size | INT | 5242880 | [1..] | - | -
share.coordinator.snapshot.update.records.per.snapshot | INT | 500 | [0..500] | - | -
share.coordinator.state.topic.compression.codec | INT | 0 | - | - | -
share.coordinator.state.topic.min.isr | SHORT | 2 | [1..] | - | -
share.coordinator.state.topic.num.partitions | INT | 50 | [1..] | - | -
share.coordinator.state.topic.prune.interval.ms+ | INT | 300000 | [1..] | - | -
share.coordinator.state.topic.replication.factor | SHORT | 3 | [1..] | - | -
share.coordinator.state.topic.segment.bytes | INT | 104857600 | [1..] | - | -
share.coordinator.threads | INT | 1 | [1..] | - | -
share.coordinator.write.timeout.ms | INT | 5000 | [1..] | - | -
share.fetch.purgatory.purge.interval.requests | INT | 1000 | - | - | -
socket.connection.setup.timeout.max.ms | LONG | 30000 | - | - | -
socket.connection.setup.timeout.ms | LONG | 10000 | - | - | -
socket.listen.backlog.size | INT | 50 | [1..] | - | broker
socket.receive.buffer.bytes | INT | 102400 | - | - | broker
socket.request.max.bytes | INT | 104857600 | [1..] | - | broker
socket.send.buffer.bytes | INT | 102400 | - | - | broker
ssl.allow.dn.changes | BOOLEAN | false | - | - | -
ssl.allow.san.changes | BOOLEAN | false | - | - | -
ssl.cipher.suites | LIST |  | - | broker | -
ssl.client.auth | STRING | none | [required, requested, none] | broker | -
ssl.enabled.protocols | LIST | TLSv1.2,TLSv1.3 | - | broker | -
ssl.endpoint.identification.algorithm | STRING | https | - | broker | -
ssl.engine.factory.class | CLASS | ~ | - | broker | -
ssl.key.password | PASSWORD | ~ | - | broker | -
ssl.keymanager.algorithm | STRING | SunX509 | - | broker | -
ssl.keystore.certificate.chain | PASSWORD | ~ | - | broker | -
ssl.keystore.key | PASSWORD | ~ | - | broker | -
ssl.keystore.location | STRING | ~ | - | broker | -
ssl.keystore.password | PASSWORD | ~ | - | broker | -
ssl.keystore.type | STRING | JKS | - | broker | -
ssl.principal.mapping.rules | STRING | DEFAULT | - | - | -
ssl.protocol | STRING | TLSv1.3 | - | broker | -
ssl.provider | STRING | ~ | - | broker | -
ssl.secure.random.implementation | STRING | ~ | - | broker | -
ssl.trustmanager.algorithm | STRING | PKIX | - | broker | -
ssl.truststore.certificates | PASSWORD | ~ | - | broker | -
ssl.truststore.location | STRING | ~ | - | broker | -
ssl.truststore.password | PASSWORD | ~ | - | broker | -
ssl.truststore.type | STRING | JKS | - | broker | -
telemetry.max.bytes | INT | 1048576 | [1..] | - | -
transaction.abort.timed.out.transaction.cleanup.interval.ms | INT | 10000 | [1..] | - | -
transaction.max.timeout.ms | INT | 900000 | [1..] | - | -
transaction.partition.verification.enable | BOOLEAN | true | - | cluster | -
transaction.remove.expired.transaction.cleanup.interval.ms | INT | 3600000 | [1..] | - | -
transaction.state.log.load.buffer.size | INT | 5242880 | [1..] | - | -
transaction.state.log.min.isr | INT | 2 | [1..] | - | -
transaction.state.log.num.partitions | INT | 50 | [1..] | - | -
transaction.state.log.replication.factor | SHORT | 3 | [1..] | - | -
transaction.state.log.segment.bytes | INT | 104857600 | [1..] | - | -
transaction.two.phase.commit.enable | BOOLEAN | false | - | - | -
transactional.id.expiration.ms | INT | 604800000 | [1..] | - | -
unclean.leader.election.enable | BOOLEAN | false | - | cluster | -
unclean.leader.election.interval.ms+ | LONG | 300000 | [1..] | - | -
unstable.api.versions.enable+ | BOOLEAN | false | - | - | -
unstable.feature.versions.enable+ | BOOLEAN | false | - | - | -
"""

TOPIC = """
cleanup.policy | LIST | delete | [compact, delete] | log.cleanup.policy | log/config
compression.gzip.level | INT | -1 | [1..9] or -1 | compression.gzip.level | log/config
compression.lz4.level | INT | 9 | [1..17] | compression.lz4.level | log/config
compression.type | STRING | producer | [uncompressed, zstd, lz4, snappy, gzip, producer] | compression.type | log/config
compression.zstd.level | INT | 3 | [-131072..22] | compression.zstd.level | log/config
delete.retention.ms | LONG | 86400000 | [0..] | log.cleaner.delete.retention.ms | -
file.delete.delay.ms | LONG | 60000 | [0..] | log.segment.delete.delay.ms | log/config
flush.messages | LONG | 9223372036854775807 | [1..] | log.flush.interval.messages | log/config
flush.ms | LONG | 9223372036854775807 | [0..] | log.flush.interval.ms log.flush.scheduler.interval.ms | log/config
follower.replication.throttled.replicas | LIST |  | [partitionId]:[brokerId],[partitionId]:[brokerId].. | - | -
index.interval.bytes | INT | 4096 | [0..] | log.index.interval.bytes | log/config
internal.segment.bytes+ | INT | ~ | - | - | log/config
leader.replication.throttled.replicas | LIST |  | [partitionId]:[brokerId],[partitionId]:[brokerId].. | - | -
local.retention.bytes | LONG | -2 | [-2..] | log.local.retention.bytes | -
local.retention.ms | LONG | -2 | [-2..] | log.local.retention.ms | -
max.compaction.lag.ms | LONG | 9223372036854775807 | [1..] | log.cleaner.max.compaction.lag.ms | -
max.message.bytes | INT | 1048588 | [0..] | message.max.bytes | log/config
message.timestamp.after.max.ms | LONG | 3600000 | [0..] | log.message.timestamp.after.max.ms | log/config
message.timestamp.before.max.ms | LONG | 9223372036854775807 | [0..] | log.message.timestamp.before.max.ms | log/config
message.timestamp.type | STRING | CreateTime | [CreateTime, LogAppendTime] | log.message.timestamp.type | log/config
min.cleanable.dirty.ratio | DOUBLE | 0.5 | [0..1] | log.cleaner.min.cleanable.ratio | -
min.compaction.lag.ms | LONG | 0 | [0..] | log.cleaner.min.compaction.lag.ms | -
min.insync.replicas | INT | 1 | [1..] | min.insync.replicas | log/config
preallocate | BOOLEAN | false | - | log.preallocate | -
remote.log.copy.disable | BOOLEAN | false | - | - | -
remote.log.delete.on.disable | BOOLEAN | false | - | - | -
remote.storage.enable | BOOLEAN | false | - | - | -
retention.bytes | LONG | -1 | - | log.retention.bytes | log/config
retention.ms | LONG | 604800000 | [-1..] | log.retention.ms log.retention.minutes*60000 log.retention.hours*3600000 | log/config
segment.bytes | INT | 1073741824 | [1048576..] | log.segment.bytes | log/config
segment.index.bytes | INT | 10485760 | [4..] | log.index.size.max.bytes | log/config
segment.jitter.ms | LONG | 0 | [0..] | log.roll.jitter.ms log.roll.jitter.hours*3600000 | log/config
segment.ms | LONG | 604800000 | [1..] | log.roll.ms log.roll.hours*3600000 | log/config
unclean.leader.election.enable | BOOLEAN | false | - | unclean.leader.election.enable | -
"""

GROUP = """
consumer.assignment.interval.ms | INT | 1000 | [0..] | group.consumer.assignment.interval.ms | -
consumer.heartbeat.interval.ms | INT | 5000 | [1..] | group.consumer.heartbeat.interval.ms | -
consumer.session.timeout.ms | INT | 45000 | [1..] | group.consumer.session.timeout.ms | -
share.assignment.interval.ms | INT | 1000 | [0..] | group.share.assignment.interval.ms | -
share.auto.offset.reset | STRING | latest | [latest, earliest, by_duration:PnDTnHnMn.nS] | share.auto.offset.reset | -
share.delivery.count.limit | INT | 5 | [2..] | group.share.delivery.count.limit | -
share.heartbeat.interval.ms | INT | 5000 | [1..] | group.share.heartbeat.interval.ms | -
share.isolation.level | STRING | read_uncommitted | [read_committed, read_uncommitted] | share.isolation.level | -
share.partition.max.record.locks | INT | 2000 | [100..] | group.share.partition.max.record.locks | -
share.record.lock.duration.ms | INT | 30000 | [1000..] | group.share.record.lock.duration.ms | -
share.renew.acknowledge.enable | BOOLEAN | true | - | share.renew.acknowledge.enable | -
share.session.timeout.ms | INT | 45000 | [1..] | group.share.session.timeout.ms | -
streams.assignment.interval.ms | INT | 1000 | [0..] | group.streams.assignment.interval.ms | -
streams.heartbeat.interval.ms | INT | 5000 | [1..] | group.streams.heartbeat.interval.ms | -
streams.initial.rebalance.delay.ms | INT | 3000 | [0..] | group.streams.initial.rebalance.delay.ms | -
streams.num.standby.replicas | INT | 0 | [0..] | group.streams.num.standby.replicas | -
streams.session.timeout.ms | INT | 45000 | [1..] | group.streams.session.timeout.ms | -
"""

# What this broker has beyond Kafka's. Not described to clients.
OWN = """
console.port | INT | -1 | [-1..65535] | - | broker
log.message.deep.validation | BOOLEAN | false | - | - | log/config
"""
