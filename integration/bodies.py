"""Decode a verified body strictly: whatever is wrong with it becomes Unreadable, quickly and in words."""

import json
from typing import TypeVar

import msgspec

from integration.errors import Unreadable

T = TypeVar("T")

LONGEST_EXACT_BODY = 262_144  # bytes; longer bodies that are not compact are not searched for repeated keys
LONGEST_REASON = 160

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode `body` by `decoder`.

    Raises Unreadable for anything but one JSON document of that type: malformed or too deep JSON, other
    types, text that is no UTF-8, NUL in text (PostgreSQL cannot keep it), and a key told twice (in compact
    bodies only the top is searched).
    """
    value = decode_part(decoder, body)
    try:
        _refuse_repeated_keys(body)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(str(error)[:LONGEST_REASON]) from None
    return value


def decode_part(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a part of a body that was decoded before; as `decode`, without searching for repeated keys."""
    if b"\\u0000" in body:
        raise Unreadable("it holds a NUL character")
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except ValueError as error:  # msgspec's errors and json's are ValueErrors, and quote no values
        raise Unreadable(str(error)[:LONGEST_REASON]) from None


def _refuse_repeated_keys(body: bytes) -> None:
    # In compact JSON (as Shopify sends it) the lengths of the members add up to the length of the body unless
    # a key came twice at the top. Adding them up costs about as much as the typed decoding; looking at every
    # pair of keys, which is left for the other bodies, costs eight times that.
    members = _members.decode(body)
    together = sum(map(len, members)) + sum(map(len, members.values())) + 4 * len(members) + 1
    if together != len(body) and len(body) <= LONGEST_EXACT_BODY:
        json.loads(body, object_pairs_hook=_object, parse_int=_number)


def _object(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a key is told twice in one object")


def _number(_digits: str) -> int:
    return 0  # only keys are looked at; an integer of 10,000 digits would be refused by int()
