"""MODULE: extensions of a server in C. This one cannot load any and says so, as a real one that is not allowed to."""

from __future__ import annotations

from miniredis.engine.call import Call
from miniredis.engine.registry import ADMIN, NO_ASYNC_LOADING, NOSCRIPT, command, container
from protocol.resp.values import Failure, Reply

container("MODULE", since="4.0.0", group="server", summary="Commands about extensions.")


def _refused() -> Failure:
    return Failure(
        'ERR MODULE command not allowed. If the enable-module-command option is set to "local", you can run it from a '
        "local connection, otherwise you need to set this option in the configuration file, and then restart the "
        "server."
    )


@command("MODULE|LIST", ADMIN | NOSCRIPT, since="4.0.0", tips=("nondeterministic_output_order",),
         complexity="O(N) with N modules")  # fmt: skip
def module_list(call: Call) -> Reply:
    """List the modules: there are none."""
    return []


@command("MODULE|LOAD path [arg [arg ...]]", ADMIN | NOSCRIPT | NO_ASYNC_LOADING, since="4.0.0")
def module_load(call: Call) -> Reply:
    """Load a module, where that is allowed: here it is not."""
    raise _refused()


@command("MODULE|LOADEX path [CONFIG configs=<name value> ...] [ARGS args [args ...]]",
         ADMIN | NOSCRIPT | NO_ASYNC_LOADING, since="7.0.0")  # fmt: skip
def module_loadex(call: Call) -> Reply:
    """Load a module with settings of its own, where that is allowed: here it is not."""
    raise _refused()


@command("MODULE|UNLOAD name", ADMIN | NOSCRIPT | NO_ASYNC_LOADING, since="4.0.0")
def module_unload(call: Call) -> Reply:
    """Unload a module, where that is allowed: here it is not."""
    raise _refused()
