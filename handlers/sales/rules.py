"""What a sale remembers and what it is worth: pure functions from facts to money."""

import msgspec

from handlers.merchants.rules import Shop, Version
from integration.facts import (
    Charge,
    Dispute,
    Fulfilment,
    Invoice,
    Order,
    OrderRefund,
    Payment,
    Session,
    StripeRefund,
)


class SaleFacts(msgspec.Struct, omit_defaults=True):
    """Everything told about one sale, merged; equal for any order and repetition of the telling."""

    order: Order | None = None
    order_deleted: bool = False
    refunds: dict[str, OrderRefund] = {}  # Shopify refunds by id, those inside `order` too
    fulfilments: dict[str, Fulfilment] = {}
    charges: dict[str, Charge] = {}
    payments: dict[str, Payment] = {}
    sessions: dict[str, Session] = {}
    invoices: dict[str, Invoice] = {}
    stripe_refunds: dict[str, StripeRefund] = {}
    disputes: dict[str, Dispute] = {}


class Worth(msgspec.Struct, frozen=True):
    """What of a sale counts, in minor units of `currency`, and why not more.

    `standing` is one word: `counted`, `waiting_for_order`, `waiting_for_payment`, `unpaid`, `authorized`,
    `partially_paid`, `cancelled`, `voided`, `deleted`, `uncaptured`, `free`, `elsewhere` (the Shopify twin is
    the sale that is paid).
    """

    standing: str
    currency: str | None = None
    sold_at: int | None = None
    paid_minor: int = 0  # paid at purchase, with everything
    net_minor: int = 0  # paid and not given back
    goods_minor: int = 0  # merchandise at purchase, before any refund: what a full refund takes back
    eligible_minor: int = 0  # what earns under include_tax / include_shipping, before disputes
    disputed_minor: int = 0  # share of eligible_minor under an open dispute
    lost_minor: int = 0  # share of eligible_minor lost to a dispute
    test: bool = False
    why: tuple[str, ...] = ()


class Sale(msgspec.Struct, frozen=True):
    """One sale as every settler sees it."""

    shop: Shop
    number: int
    absorbed: tuple[int, ...]  # sales merged into this one: their postings and messages count as its own
    twin: int | None  # number of the suspected same sale on the other platform
    facts: SaleFacts
    worth: Worth
    version: Version | None  # the programme it was sold under
    customer: int | None  # resolved through merges; None = unclaimed
    created_at: int
    revision: int
