"""minikafka: a log-structured broker that speaks Apache Kafka's wire protocol and keeps Kafka's files."""
