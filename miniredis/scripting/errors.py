"""What a function of ours tells the script that called it."""

from __future__ import annotations


class ScriptError(Exception):
    """`placed`: with the place in the script before it, as Lua's own functions do; `table`: as redis.call fails, its
    numbers counted already; `plain`: an error table without more."""

    def __init__(self, text: str | bytes, *, kind: str = "placed") -> None:
        super().__init__(text)
        self.text = text if isinstance(text, bytes) else text.encode()
        self.kind = kind.encode()
