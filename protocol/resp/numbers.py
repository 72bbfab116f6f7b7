"""Numbers as Redis reads and prints them.

Law 1: a number is the whole text or it is no number. Redis forgives neither spaces nor a leading
       plus on integers, and on floating point it takes what `strtod` takes and nothing after it.
Law 2: what leaves here is byte for byte what Redis 7.4 would have printed. A double goes out in the
       digits of Grisu2 – nearly, but not always, the shortest ones – and is laid out by fpconv's rules,
       which are not those of Python's `repr`.
Law 3: a long double is the x87's: a mantissa of 64 bits. INCRBYFLOAT and blocking timeouts compute in it.

Everything here raises ValueError for text that is no number; the caller knows the error text to send.
"""

from __future__ import annotations

import re
from math import copysign, frexp, isinf, ldexp
from typing import Final, NamedTuple

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

# Doubles that are whole and within this bound are printed as integers (half of a long long, as Redis has it).
WHOLE_LIMIT: Final = 4611686018427387904.0

# string2ld copies its text into a buffer of this size, and refuses what does not fit.
_LONG_DOUBLE_CHARS: Final = 5 * 1024

_FLOAT_ALPHABET: Final = b"0123456789.+-eE"
_INFINITY = re.compile(rb"([+-]?)inf(?:inity)?", re.IGNORECASE)
_HEXADECIMAL = re.compile(rb"([+-]?)0x([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?\d+))?", re.IGNORECASE)
_DECIMAL = re.compile(rb"([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?", re.IGNORECASE)
_SPACES: Final = b" \t\n\v\f\r"


# ── integers ───────────────────────────────────────────────────────────────────────────────────────────


def parse_int(text: bytes) -> int:
    """Read a signed 64-bit integer by `string2ll`'s strict rule: no plus, no leading zero, no space."""
    size = len(text)
    if text.isdigit():
        if (text[0] != 48 or size == 1) and size < 20:
            value = int(text)
            if value <= INT64_MAX:
                return value
    elif 1 < size < 21 and text[0] == 45 and text[1] != 48:
        digits = text[1:]
        if digits.isdigit():
            value = -int(digits)
            if value >= INT64_MIN:
                return value
    raise ValueError("value is not an integer or out of range")


# ── doubles, in ────────────────────────────────────────────────────────────────────────────────────────


def parse_float(text: bytes) -> float:
    """Read a double as `string2d` does: no spaces, no NaN, and nothing too large or too small for one."""
    if text.isdigit() and len(text) < 300:
        return float(text)
    if not text.translate(None, _FLOAT_ALPHABET):
        value = float(text)
        if value == 0.0 or isinf(value):
            _refuse_out_of_range(text, value)
        return value
    return _parse_unusual_float(text)


def parse_bound(text: bytes) -> float:
    """Read the end of a range of scores as `strtod` alone does: spaces before are skipped, what is too
    large becomes infinite, nothing at all is zero, and a NUL ends the text."""
    text = text.partition(b"\0")[0]
    if not text:
        return 0.0
    text = text.lstrip(_SPACES)
    if not text:
        raise ValueError("not a float")
    if not text.translate(None, _FLOAT_ALPHABET):
        return float(text)
    found = _INFINITY.fullmatch(text)
    if found:
        return -float("inf") if found[1] == b"-" else float("inf")
    if _is_hexadecimal(text):
        try:
            return float.fromhex(text.decode("ascii"))
        except OverflowError:
            return copysign(float("inf"), -1.0 if text[0] == 45 else 1.0)
    raise ValueError("not a float")


def _refuse_out_of_range(text: bytes, value: float) -> None:
    """Raise where strtod would report ERANGE: text in digits never means infinity, nor a zero that is none."""
    mantissa = re.split(rb"[eE]", text)[0]
    if isinf(value) or mantissa.strip(b"+-.0"):
        raise ValueError("out of range for a double")


def _parse_unusual_float(text: bytes) -> float:
    found = _INFINITY.fullmatch(text)
    if found:
        return -float("inf") if found[1] == b"-" else float("inf")
    if not _is_hexadecimal(text):
        raise ValueError("not a float")
    try:
        value = float.fromhex(text.decode("ascii"))
    except OverflowError:
        raise ValueError("out of range for a double") from None
    if value == 0.0 and re.split(rb"[pP]", text)[0].strip(b"+-.0xX"):
        raise ValueError("out of range for a double")
    return value


def _is_hexadecimal(text: bytes) -> bool:
    found = _HEXADECIMAL.fullmatch(text)
    return found is not None and bool(found[2] or found[3])


# ── doubles, out ───────────────────────────────────────────────────────────────────────────────────────


def format_double(value: float) -> bytes:
    """Print a double as `d2string` of Redis 7.2 and later: `3`, `0.1`, `1e-7`, `-0`, `inf`, `nan`."""
    if -WHOLE_LIMIT <= value <= WHOLE_LIMIT:
        whole = int(value)
        if whole == value:
            if whole:
                return b"%d" % whole
            return b"-0" if copysign(1.0, value) < 0 else b"0"
    elif value != value:
        return b"nan"
    elif isinf(value):
        return b"inf" if value > 0 else b"-inf"
    return format_shortest(value)


def format_shortest(value: float) -> bytes:
    """Print a double by its digits alone, as `fpconv_dtoa` does: 1000000000 is `1e+9`."""
    if value == 0 or value != value or isinf(value):
        return format_double(value)
    if value < 0:
        return b"-" + _lay_out(*_shortest_digits(-value), 17)
    return _lay_out(*_shortest_digits(value), 18)


def format_double_17(value: float) -> bytes:
    """Print a double in `%.17Lg`, as ZSCAN still does for sorted sets that are skip lists."""
    if value != value:
        return b"nan"
    return b"%.17g" % value


# Grisu2's table, as fpconv steps it: every eighth power of ten from 10^-348, rounded to 64 bits.
_FIRST_POWER: Final = -348
_POWER_STEP: Final = 8
_POWERS: Final = 87
_TENS: Final = tuple(10**exponent for exponent in range(20))


def _power_of_ten(exponent: int) -> tuple[int, int]:
    """The fraction (64 bits, top bit set) and binary exponent nearest to 10^exponent."""
    if exponent >= 0:
        numerator, denominator = 10**exponent, 1
    else:
        numerator, denominator = 1, 10**-exponent
    shift = 64 - (numerator.bit_length() - denominator.bit_length())
    while True:
        up, down = (shift, 0) if shift >= 0 else (0, -shift)
        fraction, rest = divmod(numerator << up, denominator << down)
        if fraction.bit_length() <= 64:
            fraction += 2 * rest >= denominator << down
            return fraction, -shift
        shift -= 1


def _cached_powers() -> tuple[tuple[int, int], ...]:
    return tuple(_power_of_ten(_FIRST_POWER + _POWER_STEP * index) for index in range(_POWERS))


_CACHED_POWERS: Final = _cached_powers()


def _shortest_digits(value: float) -> tuple[int, int]:
    """Grisu2 (Loitsch 2010): decimal digits and an exponent such that digits × 10^exponent reads back as value.

    The interval of texts that read back is narrowed by one unit on either side for the error of the
    64-bit product, which is why about one double in a thousand gets a digit more than it needs.
    """
    mantissa, exponent = frexp(value)
    fraction = int(ldexp(mantissa, 53))
    exponent -= 53
    if exponent < -1074:  # a subnormal has fewer bits, and its neighbours are one unit of the last place away
        fraction >>= -1074 - exponent
        exponent = -1074
    shift = 64 - fraction.bit_length()
    exponent -= shift
    middle = fraction << shift
    upper = middle + (1 << shift - 1)
    lower = middle - (1 << shift - (2 if fraction == 1 << 52 else 1))

    power, power_exponent, scale = _scaling_power(exponent)
    middle = (middle * power + (1 << 63)) >> 64
    upper = ((upper * power + (1 << 63)) >> 64) - 1
    lower = ((lower * power + (1 << 63)) >> 64) + 1
    return _digits_between(upper, upper - lower, upper - middle, -(exponent + power_exponent + 64), -scale)


def _scaling_power(exponent: int) -> tuple[int, int, int]:
    """The cached power of ten that brings a 64-bit fraction's exponent to between -60 and -32."""
    index = (int(-(exponent + _POWERS) * 0.30102999566398114) - _FIRST_POWER) // _POWER_STEP
    while True:
        power, power_exponent = _CACHED_POWERS[index]
        scaled = exponent + power_exponent + 64
        if scaled < -60:
            index += 1
        elif scaled > -32:
            index -= 1
        else:
            return power, power_exponent, _FIRST_POWER + index * _POWER_STEP


def _digits_between(upper: int, delta: int, distance: int, point: int, exponent: int) -> tuple[int, int]:
    """Cut `upper` (fixed point, `point` bits of fraction) after the first digit that leaves at most `delta`,
    then step down towards the value itself, which lies `distance` below."""
    for kappa in range(9, -1, -1):
        unit = _TENS[kappa] << point
        digits, rest = divmod(upper, unit)
        if rest <= delta:
            return _step_down(digits, delta, rest, unit, distance), exponent + kappa
    mask = (1 << point) - 1
    kappa = 0
    while True:
        kappa += 1
        ten = _TENS[kappa]
        product = upper * ten
        rest = product & mask
        if rest < delta * ten:
            return _step_down(product >> point, delta * ten, rest, 1 << point, distance * ten), exponent - kappa


def _step_down(digits: int, delta: int, rest: int, unit: int, distance: int) -> int:
    while (
        rest < distance
        and delta - rest >= unit
        and (rest + unit < distance or distance - rest > rest + unit - distance)
    ):
        digits -= 1
        rest += unit
    return digits


def _lay_out(digits: int, exponent: int, room: int) -> bytes:
    """Write digits × 10^exponent as fpconv does: plain while that stays short, else with an exponent."""
    text = b"%d" % digits
    size = len(text)
    magnitude = abs(exponent + size - 1)
    if exponent >= 0 and magnitude < size + 7:
        return text + b"0" * exponent
    if exponent < 0 and (exponent > -7 or magnitude < 4):
        point = size + exponent
        if point <= 0:
            return b"0." + b"0" * -point + text
        return text[:point] + b"." + text[point:]
    text = text[:room]
    sign = b"-" if exponent + len(text) - 1 < 0 else b"+"
    if len(text) > 1:
        text = text[:1] + b"." + text[1:]
    return b"%be%b%d" % (text, sign, magnitude)


# ── long doubles ───────────────────────────────────────────────────────────────────────────────────────

_MANTISSA_BITS: Final = 64
_LEAST_EXPONENT: Final = -16445  # of the last bit: subnormals end there
_MOST_EXPONENT: Final = 16384  # the first power of two that is too large
_DECIMALS: Final = 17  # printed after the point
# Far outside what a long double holds: texts beyond it need not be computed to be refused.
_DECIMAL_REACH: Final = 5_100
# int() and str() refuse to convert more decimal digits than 4,300 at once.
_DIGITS_AT_ONCE: Final = 4_000


class LongDouble(NamedTuple):
    """mantissa × 2^exponent with a mantissa of at most 64 bits; infinities have `infinite` = ±1."""

    mantissa: int
    exponent: int
    infinite: int = 0


def long_double(value: int) -> LongDouble:
    """A 64-bit integer as a long double: always exact."""
    return LongDouble(value, 0)


def parse_long_double(text: bytes) -> LongDouble:
    """Read a long double as `string2ld` does: what strtold takes, without spaces, NaN or numbers out of range."""
    size = len(text)
    if size < 19 and text.isdigit():
        return LongDouble(int(text), 0)
    if size >= _LONG_DOUBLE_CHARS:
        raise ValueError("too long for a float")
    found = _DECIMAL.fullmatch(text)
    if found is not None and (found[2] or found[3]):
        return _from_decimal(found[1] == b"-", found[2], found[3] or b"", found[4] or b"0")
    found = _INFINITY.fullmatch(text)
    if found is not None:
        return LongDouble(0, 0, -1 if found[1] == b"-" else 1)
    found = _HEXADECIMAL.fullmatch(text)
    if found is not None and (found[2] or found[3]):
        return _from_hexadecimal(found[1] == b"-", found[2], found[3] or b"", found[4] or b"0")
    raise ValueError("not a float")


def add_long_doubles(left: LongDouble, right: LongDouble) -> LongDouble:
    """Their sum, rounded to 64 bits. Raises ValueError when that is NaN or infinite."""
    if left.infinite or right.infinite:
        raise ValueError("not finite")
    exponent = min(left.exponent, right.exponent)
    total = (left.mantissa << left.exponent - exponent) + (right.mantissa << right.exponent - exponent)
    total_rounded = _rounded(total, exponent, False)
    if total_rounded.infinite:
        raise ValueError("not finite")
    return total_rounded


def format_long_double(value: LongDouble) -> bytes:
    """Print a finite long double as `%.17Lf` with the zeros at the end trimmed, and never `-0`."""
    assert not value.infinite, "an infinite long double is refused before it is printed"
    scaled = abs(value.mantissa) * 10**_DECIMALS
    if value.exponent >= 0:
        scaled <<= value.exponent
    else:
        scaled = _shifted_right(scaled, -value.exponent, False)
    whole, decimals = divmod(scaled, 10**_DECIMALS)
    text = _decimal_digits(whole)
    if decimals:
        text += b"." + (b"%017d" % decimals).rstrip(b"0")
    return b"-" + text if value.mantissa < 0 and scaled else text


def parse_timeout_ms(text: bytes) -> int:
    """Seconds, maybe with a fraction, as whole milliseconds rounded up (what blocking commands take).

    Raises ValueError for text that is no float and OverflowError for more than a long long of milliseconds.
    """
    seconds = parse_long_double(text)
    if seconds.infinite:
        if seconds.infinite > 0:
            raise OverflowError("timeout is out of range")
        return INT64_MIN
    product = _rounded(seconds.mantissa * 1000, seconds.exponent, False)
    if product.infinite:
        if product.infinite > 0:
            raise OverflowError("timeout is out of range")
        return INT64_MIN
    mantissa, exponent = product.mantissa, product.exponent
    milliseconds = mantissa << exponent if exponent >= 0 else -(-mantissa >> -exponent)
    if milliseconds > INT64_MAX:
        raise OverflowError("timeout is out of range")
    return max(milliseconds, INT64_MIN)


def _from_decimal(negative: bool, whole: bytes, decimals: bytes, exponent_text: bytes) -> LongDouble:
    digits = (whole + decimals).lstrip(b"0")
    if not digits:
        return LongDouble(0, 0)
    exponent = _clamped_exponent(exponent_text) - len(decimals)
    _refuse_beyond(exponent + len(digits), _DECIMAL_REACH)
    number = _from_digits(digits)
    if negative:
        number = -number
    if exponent >= 0:
        return _in_range(_rounded(number * 10**exponent, 0, False))
    divisor = 10**-exponent
    # Enough bits that the quotient has the mantissa's and two to round by; the rest only says "a bit more".
    shift = max(0, _MANTISSA_BITS + 2 - number.bit_length() + divisor.bit_length())
    quotient, rest = divmod(abs(number) << shift, divisor)
    return _in_range(_rounded(-quotient if negative else quotient, -shift, rest != 0))


def _from_hexadecimal(negative: bool, whole: bytes, decimals: bytes, exponent_text: bytes) -> LongDouble:
    digits = (whole + decimals).lstrip(b"0")
    if not digits:
        return LongDouble(0, 0)
    exponent = _clamped_exponent(exponent_text) - 4 * len(decimals)
    _refuse_beyond(exponent + 4 * len(digits), 4 * _DECIMAL_REACH)
    number = int(digits, 16)
    return _in_range(_rounded(-number if negative else number, exponent, False))


def _clamped_exponent(text: bytes) -> int:
    """An exponent as written, or one that is certainly out of reach where it has absurdly many digits."""
    digits = text.lstrip(b"+-").lstrip(b"0")
    value = int(digits or b"0") if len(digits) < 7 else 10**7
    return -value if text[:1] == b"-" else value


def _refuse_beyond(magnitude: int, reach: int) -> None:
    if not -reach <= magnitude <= reach:
        raise ValueError("out of range for a long double")


def _in_range(value: LongDouble) -> LongDouble:
    if value.infinite or not value.mantissa:
        raise ValueError("out of range for a long double")
    return value


def _rounded(mantissa: int, exponent: int, sticky: bool) -> LongDouble:
    """mantissa × 2^exponent (a little more where `sticky`), rounded half to even into 64 bits."""
    magnitude = abs(mantissa)
    surplus = max(magnitude.bit_length() - _MANTISSA_BITS, _LEAST_EXPONENT - exponent)
    if surplus > 0:
        magnitude = _shifted_right(magnitude, surplus, sticky)
        exponent += surplus
    if magnitude and magnitude.bit_length() + exponent > _MOST_EXPONENT:
        return LongDouble(0, 0, -1 if mantissa < 0 else 1)
    if not magnitude:
        exponent = 0
    return LongDouble(-magnitude if mantissa < 0 else magnitude, exponent)


def _shifted_right(magnitude: int, bits: int, sticky: bool) -> int:
    """magnitude / 2^bits rounded half to even; `sticky` says that magnitude is a little more than it shows."""
    kept = magnitude >> bits
    rest = magnitude - (kept << bits)
    half = 1 << bits - 1
    if rest > half or (rest == half and (sticky or kept & 1)):
        return kept + 1
    return kept


def _from_digits(digits: bytes) -> int:
    number = 0
    for start in range(0, len(digits), _DIGITS_AT_ONCE):
        piece = digits[start : start + _DIGITS_AT_ONCE]
        number = number * 10 ** len(piece) + int(piece)
    return number


def _decimal_digits(number: int) -> bytes:
    if number.bit_length() < 3 * _DIGITS_AT_ONCE:
        return b"%d" % number
    high, low = divmod(number, 10**_DIGITS_AT_ONCE)
    return b"%d%0*d" % (high, _DIGITS_AT_ONCE, low) if high else b"%d" % low
