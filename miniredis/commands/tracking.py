"""CLIENT TRACKING and what goes with it: clients that keep what they read, and are told when it changes."""

from __future__ import annotations

from typing import Final

from miniredis.engine.call import SYNTAX_ERROR, Call
from miniredis.engine.client import TRACKING, Client
from miniredis.engine.registry import LOADING, NOSCRIPT, STALE, command
from miniredis.engine.tracking import Tracked, check_prefixes
from protocol.resp.values import OK, Failure, Members, Reply

_ANY_TIME: Final = NOSCRIPT | LOADING | STALE


@command(
    "CLIENT|TRACKING status=<ON | OFF> [REDIRECT client-id:integer] [PREFIX prefix [PREFIX prefix ...]] [BCAST] "
    "[OPTIN] [OPTOUT] [NOLOOP]", _ANY_TIME, since="6.0.0", group="connection",
    complexity="O(1). Some options may introduce additional complexity.",
)  # fmt: skip
def client_tracking(call: Call) -> Reply:
    """Tell this client, or one it names, when keys it has read change."""
    client, tracking = call.session, call.state.engine.tracking
    asked = _asked(call)
    switch = call.option(2)
    if switch == b"ON":
        _check(client, asked)
        tracking.start(client, asked)
    elif switch == b"OFF":
        tracking.stop(client)
    else:
        raise Failure(SYNTAX_ERROR)
    return OK


def _asked(call: Call) -> Tracked:
    """The options. Raises Failure."""
    asked, argv = Tracked(), call.argv
    at = 3
    while at < len(argv):
        option = call.option(at)
        has_more = at + 1 < len(argv)
        if option == b"REDIRECT" and has_more:
            at += 1
            if asked.redirect:
                raise Failure("ERR A client can only redirect to a single other client")
            asked.redirect = call.integer(at)
            if asked.redirect not in call.state.clients:
                raise Failure("ERR The client ID you want redirect to does not exist")
        elif option == b"PREFIX" and has_more:
            at += 1
            asked.prefixes_given.append(argv[at])
        elif option == b"BCAST":
            asked.is_broadcast = True
        elif option == b"OPTIN":
            asked.is_opt_in = True
        elif option == b"OPTOUT":
            asked.is_opt_out = True
        elif option == b"NOLOOP":
            asked.skips_own = True
        else:
            raise Failure(SYNTAX_ERROR)
        at += 1
    return asked


def _check(client: Client, asked: Tracked) -> None:
    """What goes with each other, and with what was asked for before. Raises Failure."""
    if asked.prefixes_given and not asked.is_broadcast:
        raise Failure("ERR PREFIX option requires BCAST mode to be enabled")
    former = client.tracking
    if former is not None and former.is_broadcast != asked.is_broadcast:
        raise Failure(
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it "
            "with a different mode."
        )
    if asked.is_broadcast and (asked.is_opt_in or asked.is_opt_out):
        raise Failure("ERR OPTIN and OPTOUT are not compatible with BCAST")
    if asked.is_opt_in and asked.is_opt_out:
        raise Failure("ERR You can't specify both OPTIN mode and OPTOUT mode")
    if former is not None and ((asked.is_opt_in and former.is_opt_out) or (asked.is_opt_out and former.is_opt_in)):
        raise Failure(
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it "
            "with a different mode."
        )
    if asked.is_broadcast:
        check_prefixes(list(former.prefixes) if former is not None else [], asked.prefixes_given)


@command("CLIENT|CACHING mode=<YES | NO>", _ANY_TIME, since="6.0.0", group="connection")
def client_caching(call: Call) -> Reply:
    """Tell whether the keys of the next command are to be tracked."""
    tracked: Tracked | None = call.session.tracking
    if tracked is None:
        raise Failure(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode "
            "enabled"
        )
    word = call.option(2)
    if word not in (b"YES", b"NO"):
        raise Failure(SYNTAX_ERROR)
    if word == b"YES" and not tracked.is_opt_in:
        raise Failure("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    if word == b"NO" and not tracked.is_opt_out:
        raise Failure("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    tracked.is_caching = True
    return OK


@command("CLIENT|GETREDIR", _ANY_TIME, since="6.0.0", group="connection")
def client_getredir(call: Call) -> Reply:
    """Return the number of the client that is told instead; 0: none is, -1: there is no tracking."""
    return call.session.tracking.redirect if call.session.mode & TRACKING else -1


@command("CLIENT|TRACKINGINFO", _ANY_TIME, since="6.2.0", group="connection")
def client_trackinginfo(call: Call) -> Reply:
    """Tell how tracking is set for this client."""
    tracked: Tracked = call.session.tracking or Tracked()
    is_on = bool(call.session.mode & TRACKING)
    flags: list[Reply] = [b"on" if is_on else b"off"]
    for applies, name in (
        (tracked.is_broadcast, b"bcast"),
        (tracked.is_opt_in, b"optin"),
        (tracked.is_opt_in and tracked.is_caching, b"caching-yes"),
        (tracked.is_opt_out, b"optout"),
        (tracked.is_opt_out and tracked.is_caching, b"caching-no"),
        (tracked.skips_own, b"noloop"),
        (tracked.is_broken, b"broken_redirect"),
    ):
        if applies:
            flags.append(name)
    prefixes: list[Reply] = list(tracked.prefixes)
    return {b"flags": Members(flags), b"redirect": tracked.redirect if is_on else -1, b"prefixes": prefixes}
