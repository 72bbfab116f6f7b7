"""RESP, the wire format of Redis: bytes to commands (parser), values to bytes (encoder), bytes to values (reader)."""
