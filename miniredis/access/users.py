"""Users: who may log in, and as whom a new connection starts.

There is one user, `default`, who may do everything; requirepass gives him a password. Passwords are kept as SHA-256, as
Redis keeps them, and compared in constant time. What a user may do comes with the rules of ACL.

Law: a connection is a stranger until it has logged in, unless the default user needs no password at the moment it is
opened (`is_open`). Setting a password later does not throw out who is already in.
"""

from __future__ import annotations

import hashlib
import hmac

from protocol.resp.values import Failure


class User:
    """Whom a connection acts as: a name, and the passwords that prove it."""

    __slots__ = ("is_enabled", "name", "needs_no_password", "passwords")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.is_enabled = True
        self.needs_no_password = False
        self.passwords: set[bytes] = set()  # SHA-256, hexadecimal

    def accepts(self, password: bytes) -> bool:
        """Whether this password logs in, in a time that does not depend on which."""
        if not self.is_enabled:
            return False
        if self.needs_no_password:
            return True
        digest = hashlib.sha256(password).hexdigest().encode()
        # All of them are compared, whichever fits: how long it takes says nothing.
        found = [hmac.compare_digest(digest, known) for known in sorted(self.passwords)]
        return any(found)


class Access:
    """The users of one server."""

    def __init__(self, password: str = "") -> None:
        self.refused_logins = 0
        self.default = User(b"default")
        self.users: dict[bytes, User] = {b"default": self.default}
        self.set_password(password)

    def set_password(self, password: str) -> None:
        """What requirepass does: the default user's only password; "" means none is needed."""
        user = self.default
        user.passwords.clear()
        user.needs_no_password = not password
        if password:
            raw = password.encode("utf-8", "surrogateescape")
            user.passwords.add(hashlib.sha256(raw).hexdigest().encode())

    @property
    def is_open(self) -> bool:
        """Whether a new connection need not log in."""
        return self.default.needs_no_password and self.default.is_enabled

    def authenticate(self, name: bytes, password: bytes) -> User:
        """Whom AUTH lets in. Raises Failure when it is refused."""
        user = self.users.get(name)
        if user is None or not user.accepts(password):
            self.refused_logins += 1
            raise Failure("WRONGPASS invalid username-password pair or user is disabled.")
        return user

    def check(self, user: User, spec: object, argv: list[bytes]) -> Failure | None:
        """Why this user may not call this command: nobody is limited yet."""
        return None
