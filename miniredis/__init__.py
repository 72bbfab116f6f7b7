"""miniredis: a single-threaded RESP store that every Redis client uses unmodified."""
