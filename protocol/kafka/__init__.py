"""Kafka's wire and batch formats, for broker, follower and tests alike. Knows no log, no topic, no group.

schema.py · codegen.py · primitives.py     a class body becomes a field table,
decoders.py · encoders.py                  a field table becomes a codec
messages/                                  the messages of every API, as such classes
framing.py                                 length-prefixed frames, request and response headers
batch.py · records.py · compression.py     record batches: their header, their records, their codecs
errors.py                                  one class per error code
"""
