"""What a programme would have meant for past sales: counted one by one with the rules that pay, and weighed."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from handlers.merchants.rules import Campaign, Program, Shop, Version
from handlers.points.rules import MICRO, exchange_rate, reasons, target
from handlers.points.standing import seen
from handlers.sales.books import LoadedSale
from handlers.sales.rules import Sale, SaleFacts
from integration.clock import to_datetime
from integration.facts import Order, OrderLine
from integration.money import exponent

MOST_BARS = 20_000  # different amounts of points people have that are kept apart
REDEEMED = (50, 65, 80, 100)  # what share of points is spent, in percent: assumptions, the last the most it can be

Aim = Callable[[Sale, int | None], tuple[int | None, str | None]]
"""Says when a kind of message is due for a sale, given its place among the person's own, or why there is none."""


class Forecast(msgspec.Struct, omit_defaults=True):
    """What came out of counting; money in minor units of the programme's currency."""

    sales: int = 0  # that count; test sales apart
    earning: int = 0  # of them, those that bring any points
    turnover_minor: int = 0  # of those that count, less what was given back
    micropoints: int = 0
    unclaimed: int = 0  # micropoints of sales of which nobody knows who bought
    customers: int = 0  # who bought
    first_sold_at: int | None = None
    last_sold_at: int | None = None
    months: dict[str, int] = {}  # 2026-11 -> micropoints, by the shop's clock
    reach: dict[int, int] = {}  # whole points -> so many customers
    nothing: dict[str, int] = {}  # why a sale earns nothing -> how many
    messages: dict[str, int] = {}  # kind -> how many would have been due


class Counting:
    """A count under way: sales must come the oldest first."""

    def __init__(self, shop: Shop, program: Program, aims: Mapping[str, Aim], now: int) -> None:
        self.shop, self.now = supposed(shop, program), now
        self.found = Forecast()
        self._aims = dict(aims)
        self._zone = ZoneInfo(shop.timezone)
        self._people: dict[int, int] = {}

    def add(self, sale: Sale, place: int | None) -> None:
        """Count a sale that was valued for `self.shop`; `place` is the sale's among those of the person that count."""
        worth, found = sale.worth, self.found
        if worth.test or worth.sold_at is None:
            return
        # As if the programme had always been there, nobody is quiet because a backfill told of it.
        sale = msgspec.structs.replace(sale, quiet=False)
        for kind, aim in self._aims.items():
            if aim(sale, place)[0] is not None:
                found.messages[kind] = found.messages.get(kind, 0) + 1
        if worth.standing != "counted":
            _one_more(found.nothing, worth.standing.replace("_", " "))
            return
        found.sales += 1
        found.turnover_minor += _in_currency(self.shop, sale)
        found.first_sold_at = min(worth.sold_at, found.first_sold_at or worth.sold_at)
        found.last_sold_at = max(worth.sold_at, found.last_sold_at or worth.sold_at)
        points = sum(target(sale, self.now).balances.values())
        if sale.customer is not None:
            self._people[sale.customer] = self._people.get(sale.customer, 0) + points
        else:
            found.unclaimed += points
        if not points:
            _one_more(found.nothing, why_nothing(sale))
            return
        found.earning += 1
        found.micropoints += points
        month = f"{to_datetime(worth.sold_at).astimezone(self._zone):%Y-%m}"
        found.months[month] = found.months.get(month, 0) + points

    def result(self) -> Forecast:
        """Return what was counted, people by how many points they have."""
        self.found.customers = len(self._people)
        reach: dict[int, int] = {}
        for points in self._people.values():
            whole = points // MICRO
            reach[whole] = reach.get(whole, 0) + 1
        if len(reach) > MOST_BARS:
            rounded: dict[int, int] = {}
            for whole, many in reach.items():
                place = 10 ** max(len(str(whole)) - 3, 0)
                rounded[whole - whole % place] = rounded.get(whole - whole % place, 0) + many
            reach = rounded
        self.found.reach = dict(sorted(reach.items()))
        return self.found


def supposed(shop: Shop, program: Program) -> Shop:
    """Return the shop as if a programme had always been in force, under the number it would get."""
    number = shop.versions[-1].number + 1 if shop.versions else 1
    return dataclasses.replace(shop, versions=(Version(number, 0, program),))


def earning_on(program: Program) -> Program:
    """Return the programme with earning switched on."""
    return program.model_copy(update={"earning": program.earning.model_copy(update={"enabled": True})})


def why_nothing(sale: Sale) -> str:
    """Say in a few words, the same for all of a kind, why a sale would earn nothing."""
    worth, version = sale.worth, sale.earns_under
    if worth.standing != "counted":
        return worth.standing.replace("_", " ")
    if version is None or not version.program.earning.enabled:
        return "earning was off when it was sold"
    if worth.currency is None or exchange_rate(worth.currency, sale.shop.currency, version.program.earning) is None:
        return f"no rate from {worth.currency} to {sale.shop.currency}"
    return "nothing of it earns, or all of it was given back"


# --- One sale -----------------------------------------------------------------------------------


class Example(NamedTuple):
    """What one sale would earn under a programme, and the sentences that say why."""

    name: str
    sold_at: int
    minor: int
    currency: str
    micropoints: int
    why: Sequence[str]


def would_earn(shop: Shop, program: Program, one: LoadedSale, now: int, at: int | None = None) -> Example | None:
    """Say what a sale would earn under a programme with earning on, by the rules that pay; None for no sale yet.

    With `at`, as if an order of the shop had been made then.
    """
    if at is not None and one.facts.order is not None:
        moved = msgspec.structs.replace(one.facts.order, processed_at=at)
        one = dataclasses.replace(one, facts=msgspec.structs.replace(one.facts, order=moved))
    sale = seen(supposed(shop, earning_on(program)), one)
    worth, order = sale.worth, sale.facts.order
    if worth.sold_at is None or worth.currency is None:
        return None
    name = order.name if order is not None and order.name else f"sale {one.number}"
    points = sum(target(sale, now).balances.values())
    return Example(
        name,
        worth.sold_at,
        worth.paid_minor,
        worth.currency,
        points,
        list(dict.fromkeys(reasons(sale, now, supposed=True))),
    )


def would_earn_during(
    campaign: Campaign, shop: Shop, program: Program, sales: Iterable[LoadedSale], usual: LoadedSale, now: int
) -> Example | None:
    """Say what an order would earn in a campaign: the first with goods it is for, else a usual one.

    The shop knows where their products lie.
    """

    def is_for(sale: LoadedSale) -> bool:
        order = sale.facts.order
        bought = {line.product_id or "" for line in order.lines} if order is not None else set()
        there = {stay.collection for one in bought for stay in shop.stays.get(one, ()) if stay.until is None}
        return bool(bought.intersection(campaign.products) or there.intersection(campaign.collections))

    is_for_some = campaign.products or campaign.collections
    sample = next((sale for sale in sales if is_for(sale)), usual) if is_for_some else usual
    return would_earn(shop, program, sample, now, at=max(campaign.starts_at, now))


def made_up_order(currency: str, now: int) -> LoadedSale:
    """Return an order as a shop might have one, for a shop that has none yet: two pieces of goods, tax and shipping."""
    line = OrderLine("1", 2, 2, 2_400, tax_minor=766, product_id="1", title="Linen tea towel")
    card = OrderLine("2", 1, 1, 1_000, product_id="2", title="Gift card", gift_card=True)
    order = Order(
        "1",
        now,
        currency,
        name="#1001",
        processed_at=now,
        financial_status="paid",
        taxes_included=True,
        total_minor=6_290,
        shipping_minor=490,
        lines=(line, card),
        source_name="web",
    )
    return LoadedSale(0, 0, SaleFacts(order=order), now)


# --- Weighing -----------------------------------------------------------------------------------


class Reward(NamedTuple):
    """What points could be spent on: so many points for something worth so much."""

    points: int
    worth_minor: int


class Cost(NamedTuple):
    """What points cost if such a share of them is spent; `deferred_minor` is what accounts would put off (IFRS 15)."""

    share: int
    owed_minor: int
    percent: Decimal  # of turnover
    deferred_minor: int


class Estimate(NamedTuple):
    """What a forecast means with a reward."""

    points: int
    costs: Sequence[Cost]
    reaching: int  # customers with enough points for the reward
    reaching_percent: int
    orders_needed: int | None  # of the usual size, until the first reward; None = none earns


def estimate(found: Forecast, reward: Reward) -> Estimate:
    """Weigh what was counted: what the points would cost, and who has enough for a reward."""
    points = found.micropoints // MICRO
    costs = []
    for share in REDEEMED:
        owed = _rounded(Decimal(found.micropoints * reward.worth_minor * share) / (MICRO * reward.points * 100))
        turnover = found.turnover_minor
        percent = (Decimal(100 * owed) / turnover).quantize(Decimal("0.1"), ROUND_HALF_UP) if turnover else Decimal(0)
        deferred = _rounded(Decimal(turnover * owed) / (turnover + owed)) if turnover + owed else 0
        costs.append(Cost(share, owed, percent, deferred))
    reaching = sum(many for whole, many in found.reach.items() if whole >= reward.points)
    percent_reaching = reaching * 100 // found.customers if found.customers else 0
    needed = -(-reward.points * MICRO * found.earning // found.micropoints) if found.micropoints else None
    return Estimate(points, costs, reaching, percent_reaching, needed)


def _rounded(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def _in_currency(shop: Shop, sale: Sale) -> int:
    """What was paid and kept, in the programme's currency; nothing where no rate is set."""
    worth, version = sale.worth, sale.earns_under
    if worth.currency is None or version is None:
        return 0
    rate = exchange_rate(worth.currency, shop.currency, version.program.earning)
    if rate is None:
        return 0
    if rate == 1 and worth.currency == shop.currency:
        return worth.net_minor
    scale = exponent(shop.currency) - exponent(worth.currency)
    return _rounded((worth.net_minor * rate).scaleb(scale))


def _one_more(counts: dict[str, int], why: str) -> None:
    counts[why] = counts.get(why, 0) + 1
