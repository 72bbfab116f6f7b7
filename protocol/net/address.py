"""Addresses as both servers write them: `host:port`, `[v6]:port`, and Kafka's `NAME://host:port` endpoints."""

from dataclasses import dataclass

__all__ = ["Endpoint", "join_host_port", "parse_endpoint", "parse_host_port"]

MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A named listener. An empty host means every interface, or, advertised, the address the client dialled."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.name}://{join_host_port(self.host, self.port)}"


def join_host_port(host: str, port: int) -> str:
    """`host:port`, brackets around a v6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_host_port(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`; ValueError when it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError(f"not a host:port: {text!r}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address goes in brackets: {text!r}")
    return host, int(port)


def parse_endpoint(text: str) -> Endpoint:
    """`PLAINTEXT://127.0.0.1:9092` (the `listeners` syntax of Kafka's broker configuration)."""
    name, separator, address = text.strip().partition("://")
    if not separator or not name:
        raise ValueError(f"Unable to parse {text} to a broker endpoint")
    host, port = parse_host_port(address)
    return Endpoint(name.upper(), host, port)
