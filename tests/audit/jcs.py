# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON after RFC 8785: is this text the one way of writing what it says?

canonical() parses and writes again; a text is canonical if nothing changed. Names that appear
twice, lone surrogates, a byte order mark, and integers that a double cannot hold are refused as
RFC 7493 (I-JSON) wants it.
"""

import json
import re

SAFE_INTEGER = 2**53 - 1
_MANY_DIGITS = re.compile(rb"[0-9]{16}")
_fast_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"),
                                allow_nan=False).encode


def _refuse(text):
    raise ValueError(text)


_fast_decode = json.JSONDecoder(parse_float=_refuse, parse_constant=_refuse).decode


class NotCanonical(ValueError):
    """The text is not RFC 8785's, and why."""


def number(value):
    """Section 3.2.2.3: a double as ECMAScript's Number::toString writes it."""
    if value != value or value in (float("inf"), float("-inf")):
        raise NotCanonical("not a finite number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # value = 0.DIGITS * 10**point
    point = int(exponent or 0) + len(whole) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    n = len(digits)
    if n <= point <= 21:
        return sign + digits + "0" * (point - n)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = f"e{point - 1:+d}"
    return sign + digits[0] + ("." + digits[1:] if n > 1 else "") + power


def _object(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        raise NotCanonical("a name appears twice in an object")
    return result


def _constant(text):
    raise NotCanonical(f"{text} is no JSON")


def _integer(text):
    value = int(text)
    if abs(value) > SAFE_INTEGER:
        return float(value)
    return value


def _order(name):
    """Section 3.2.3: by UTF-16 code units."""
    return name.encode("utf-16-be", "surrogatepass")


def write(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"{_fast_encode(k)}:{write(value[k])}"
                              for k in sorted(value, key=_order)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return number(value) if isinstance(value, float) else _fast_encode(value)


def canonical(text):
    """The canonical form of a JSON text, both bytes, and the value."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_object, parse_int=_integer,
                           parse_constant=_constant)
        return write(value).encode("utf-8"), value
    except (ValueError, RecursionError) as error:
        raise NotCanonical(str(error)) from None


def check(text):
    """The value of a canonical text; NotCanonical if it is not."""
    if text.isascii() and not _MANY_DIGITS.search(text):
        # The library's own writer agrees with RFC 8785 for ASCII and safe integers; all else goes
        # the long way.
        try:
            value = _fast_decode(text.decode())
            if _fast_encode(value).encode() == text:
                return value
        except (ValueError, RecursionError):
            pass
    written, value = canonical(text)
    if written != text:
        at = next((i for i, (a, b) in enumerate(zip(written, text)) if a != b),
                  min(len(written), len(text)))
        raise NotCanonical(f"differs from the canonical form at byte {at}")
    return value
