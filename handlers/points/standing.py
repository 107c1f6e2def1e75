"""How sales stand: valued afresh from their facts, beside what the ledger has posted for them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from handlers.merchants.rules import Earning, Shop
from handlers.points.posting import Posted, posted_of
from handlers.points.rules import ISSUED, target
from handlers.sales.apply import view
from handlers.sales.bonus import NO_TIER, held_under
from handlers.sales.books import LoadedSale, load_sales
from handlers.sales.goods import with_stays_of
from handlers.sales.rules import Sale
from handlers.sales.worth import valued, worth, worth_nothing
from integration.database.steps import Steps

BESIDE_THE_FACTS = frozenset(
    {"elsewhere", "disconnected", "undone"}
)  # standings that do not follow from a sale's own facts


class Standing(NamedTuple):
    """One sale as the settlers see it, and the net of its own and its absorbed sales' postings by account."""

    sale: Sale
    posted: dict[str, int]
    entries: int

    @property
    def held(self) -> dict[str, int]:
        """What is posted on customers' and unclaimed accounts, where it is anything."""
        return {name: n for name, n in self.posted.items() if n and not name.endswith(ISSUED)}

    def is_at_target(self, now: int) -> bool:
        """Tell whether the postings are what the sale should have posted at `now`."""
        return self.held == target(self.sale, now).balances


def standings(shop: Shop, numbers: Iterable[int]) -> Steps[list[Standing]]:
    """Load and value sales of one merchant by number, in that order; merged ones count under their survivor."""
    loaded = yield from load_sales((shop.id, number) for number in numbers)
    shop = yield from with_stays_of(shop, loaded)
    sales = [seen(shop, one) for one in loaded if one.merged_into is None]
    posted = yield from posted_of((shop.id, number) for sale in sales for number in numbers_of(sale))
    return [_standing(sale, [posted.get((shop.id, n)) for n in numbers_of(sale)]) for sale in sales]


def seen(shop: Shop, one: LoadedSale) -> Sale:
    """Value a loaded sale afresh from its facts and show it as the settlers see it."""
    one.worth, one.version = valued(shop, one.facts, one.tier)
    if one.twin is not None and one.facts.order is None:
        one.worth = worth_nothing(one.worth, "elsewhere")
    return view(shop, one)


def as_settled(standing: Standing, word: str, version: int | None, *, knowing: bool = True) -> Standing:
    """Show a sale as it was when it was last settled: by the standing and the programme version kept with it.

    What has come to mean something else since (a platform that left, a programme, a twin) is left out; without
    `knowing` what lies in collections, too: it may not have been read yet.
    """
    sale = standing.sale
    program = sale.shop.version(version)
    held = NO_TIER if program is None else held_under(program.program, sale.tier)
    stays = sale.shop.stays if knowing else {}
    value = worth(sale.facts, program.program.earning if program is not None else Earning(), held, stays)
    if word in BESIDE_THE_FACTS:
        value = worth_nothing(value, word)
    return standing._replace(sale=msgspec.structs.replace(sale, worth=value, version=program, awarded_under=None))


def numbers_of(sale: Sale) -> tuple[int, ...]:
    """The numbers whose postings are this sale's: its own and those merged into it."""
    return (sale.number, *sale.absorbed)


def _standing(sale: Sale, shares: Sequence[Posted | None]) -> Standing:
    net: dict[str, int] = {}
    for share in shares:
        for name, amount in share.balances.items() if share else ():
            net[name] = net.get(name, 0) + amount
    return Standing(sale, net, sum(share.entries for share in shares if share))
