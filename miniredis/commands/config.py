"""CONFIG: the directives of redis.conf while the server runs."""

from __future__ import annotations

from typing import Final

from miniredis.commands.shared import ALL_NODES
from miniredis.engine import state as state_bits
from miniredis.engine.call import Call
from miniredis.engine.registry import ADMIN, LOADING, NOSCRIPT, STALE, command, container
from protocol.resp.values import OK, Failure, Reply

_ADMIN: Final = ADMIN | NOSCRIPT | LOADING | STALE

container("CONFIG", since="2.0.0", group="server", summary="Commands about the server's configuration.")


@command("CONFIG|GET parameter [parameter ...]", _ADMIN, since="2.0.0",
         history=(("7.0.0", "Takes several patterns."),),
         complexity="O(N) when N is the number of configuration parameters provided")  # fmt: skip
def config_get(call: Call) -> Reply:
    """Answer the values of directives, by name or pattern."""
    found: dict[bytes, bytes] = call.state.config.get(call.argv[2:])
    return found


@command("CONFIG|SET parameter value [parameter value ...]", _ADMIN, since="2.0.0", tips=ALL_NODES,
         history=(("7.0.0", "Takes several directives."),),
         complexity="O(N) when N is the number of configuration parameters provided")  # fmt: skip
def config_set(call: Call) -> Reply:
    """Change directives, all of the named ones or none."""
    allowed = call.settings.enable_protected_configs
    is_local = call.session.peer.startswith(("127.", "[::1]", "/"))
    is_loading = bool(call.state.mode & (state_bits.LOADING | state_bits.LOADING_BESIDE))
    call.state.config.set(
        call.argv[2:], allows_protected=allowed == "yes" or (allowed == "local" and is_local), is_loading=is_loading
    )
    return OK


@command("CONFIG|RESETSTAT", _ADMIN, since="2.0.0", tips=ALL_NODES)
def config_resetstat(call: Call) -> Reply:
    """Begin anew with counting what INFO tells."""
    call.state.reset_statistics()
    return OK


@command("CONFIG|REWRITE", _ADMIN, since="2.8.0", tips=ALL_NODES)
def config_rewrite(call: Call) -> Reply:
    """Put the directives as they are now into the configuration file."""
    config = call.state.config
    if not config.file:
        raise Failure("ERR The server is running without a config file")
    try:
        config.rewrite()
    except OSError as error:
        call.state.log(f"CONFIG REWRITE failed: {error.strerror}")
        raise Failure(f"ERR Rewriting config file: {error.strerror}") from None
    call.state.log("CONFIG REWRITE executed with success.")
    return OK
