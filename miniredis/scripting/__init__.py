"""Lua, kept in a box: the sandbox, its libraries, and the way of values between it and the server."""
