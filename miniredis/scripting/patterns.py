"""Lua patterns that cannot run away: string.find, match, gmatch and gsub, put around Lua's own.

Lua's matcher goes back and forth in C, where no hook looks in. What a pattern may cost at most is known from its
quantifiers: n to the power of those that something follows, times n starting places.
"""

from __future__ import annotations

from typing import Final

# Lua's matcher calls itself once for each quantifier and capture, on the C stack: more than any real pattern has.
CALLS_MAX: Final = 200

SOURCE: Final = (
    rb"""
local calls_max = %d
local string_gsub = string.gsub

local function checked(pattern)
  if type(pattern) == 'string' and #pattern > calls_max then
    local _, calls = string_gsub(pattern, '[%%*%%+%%-%%?%%(%%)]', '')
    if calls > calls_max then H.fail('pattern too complex') end
  end
  return pattern
end
local raw_find, raw_match, raw_gmatch = string.find, string.match, string.gmatch
function S.find(text, pattern, init, plain)
  return raw_find(text, plain and pattern or checked(pattern), init, plain)
end
function S.match(text, pattern, ...) return raw_match(text, checked(pattern), ...) end
function S.gmatch(text, pattern) return raw_gmatch(text, checked(pattern)) end
function S.gsub(text, pattern, ...) return string_gsub(text, checked(pattern), ...) end
"""
    % CALLS_MAX
)
