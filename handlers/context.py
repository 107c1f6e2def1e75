"""What every job and page is given: the world's handles and the program's own tables of contents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from handlers.inbox.rules import Apply, Recoveries, Resettle
from integration.clock import Clock
from integration.database.steps import Steps
from integration.facts import Reader

if TYPE_CHECKING:
    from handlers.coupons import Coupons
    from handlers.customers.timeline import Source
    from handlers.holders import Holder, Privacy
    from handlers.insights.store import Count
    from handlers.inviting import Inviting
    from handlers.ladder import Heard, Ladder
    from handlers.messages.kinds import Kind
    from handlers.points.audit import Auditor
    from handlers.points.forecast import Aim
    from handlers.rewards.kinds import Kind as RewardKind
    from handlers.sales.settle import Settler
    from handlers.spending import Spending
    from integration.channels import Channel
    from integration.database.engine import Database
    from integration.dns import Dns
    from integration.queue import Queue
    from integration.shopify.admin import Admin
    from integration.stripe.api import StripeApi
    from integration.vault import Vault


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a capability may use; made by `config.wiring` and nowhere else."""

    database: "Database"  # .run(steps) for the hot path; .engine for SQLAlchemy
    queue: "Queue"
    clock: Clock
    vault: "Vault"  # encrypts secrets at rest, signs links
    public_url: str
    mail_from: str | None
    shopify_secrets: tuple[str, ...]  # present and old app secret; empty = Shopify is not set up
    topics: Mapping[str, Mapping[str, Reader]]  # platform -> topic -> reader
    settlers: Sequence["Settler"]
    apply: Apply  # facts to sales, customers and what is owed
    resettle: Resettle  # the clock's share of the same
    channels: Mapping[str, "Channel"]
    shopify: "Admin"
    stripe: "StripeApi"
    kinds: Mapping[str, "Kind"] = field(default_factory=dict)  # kinds of messages by name
    # Done in the transaction in which a shop, or a platform of its, that had left is back: (merchant, left at, now).
    on_return: Sequence[Callable[[int, int, int], Steps[None]]] = ()
    shopify_key: str | None = None  # the app's client id, the audience of its session tokens
    aims: Mapping[str, "Aim"] = field(default_factory=dict)  # when a kind of message is due for a sale, by its rules
    dns: "Dns | None" = None  # None = sending domains are not checked
    mail_spf: str | None = None  # what a sending domain's SPF record must hold
    dkim_selectors: tuple[str, ...] = ()  # where our mail server's keys are published
    timeline: Sequence["Source"] = ()  # what a person's timeline is merged from
    holders: Sequence["Holder"] = ()  # who keeps personal data
    privacy: "Privacy | None" = None  # what pages may ask for a person
    recovered: Recoveries | None = None  # what asking the platforms found that no webhook had told of
    counts: Mapping[str, "Count"] = field(default_factory=dict)  # what capabilities count for the home page
    rewards: Mapping[str, "RewardKind"] = field(default_factory=dict)  # kinds of rewards by name
    auditors: Sequence["Auditor"] = ()  # what is checked of the books besides sales and balances
    spending: "Spending | None" = None  # what customers' pages may ask about rewards
    ladder: "Ladder | None" = None  # what customers' pages may ask about tiers
    coupons: "Coupons | None" = None  # what makes codes that cost no points
    inviting: "Inviting | None" = None  # what customers' pages may ask about bringing friends
    rises: "Heard | None" = None  # hears whose tier has changed
    client_header: str | None = None  # in which our own proxy says who calls; None = nobody stands between
    data_dir: Path | None = None  # where files are kept on this machine

    @property
    def engine(self) -> AsyncEngine:
        return self.database.engine
