"""What is left of a sale whose buyer is forgotten: every text of its facts goes, but for those named here."""

import re
import types
import typing
from typing import Any

import msgspec

from handlers.sales.personal import nobody
from handlers.sales.rules import SaleFacts

# Money, where it stands, which goods, and by what channel: what the points of a sale follow from.
KEPT = {
    *(f"<.order.{name}>" for name in ("currency", "financial_status", "fulfillment_status", "source_name")),
    *(f"<.order.lines.{name}>" for name in ("product_id", "variant_id")),
    *(f"<.{kind}.currency>" for kind in ("charges", "payments", "sessions", "invoices", "disputes")),
    *(f"<.{kind}.status>" for kind in ("charges", "payments", "stripe_refunds", "disputes")),
    *(f"<.sessions.{name}>" for name in ("mode", "payment_status")),
}


def filled(kind: Any, place: str) -> Any:
    """Make a value of a type in which every text is the name of its place, as `<order.buyer.email>`."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return filled(next(one for one in inner if one is not type(None)), place)
    if origin is tuple:
        return (filled(inner[0], place),)
    if origin in (dict, typing.get_origin(typing.Mapping[str, str])):
        return {f"<{place}:>": filled(inner[1], place)}
    if origin is typing.Literal:
        return inner[0]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        return kind(**{name: filled(hints[name], f"{place}.{name}") for name in kind.__struct_fields__})
    return f"<{place}>" if kind is str else kind(1)


def test_every_text_of_a_forgotten_sales_facts_goes_or_is_named_here() -> None:
    """A field that comes anew fails this until somebody has said whether it may tell of a person."""
    facts = filled(SaleFacts, "")
    told = set(re.findall(r"<[^>]*>", msgspec.json.encode(facts).decode()))
    left = set(re.findall(r"<[^>]*>", msgspec.json.encode(nobody(facts, frozenset())).decode()))
    assert len(told) > 60
    assert left == KEPT
