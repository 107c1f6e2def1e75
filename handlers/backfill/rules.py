"""What a backfill counts, and what it would be awarded under: pure."""

import dataclasses
from collections.abc import Mapping

import msgspec

from handlers.merchants.rules import Shop, Version

MICRO = 1_000_000
_COUNTS = ("orders", "charges", "disputes", "tests", "sales", "customers", "by_sums")
MOST_NAMED = 20  # skipped lines and orders told one by one; the others are counted


class Totals(msgspec.Struct, omit_defaults=True):
    """What a run did, or would do; `micropoints` are real ones, never a test order's."""

    orders: int = 0
    charges: int = 0
    disputes: int = 0
    tests: int = 0
    sales: int = 0  # that nobody had told of before
    customers: int = 0  # who bought; of a run that was carried out: who nobody had told of before
    micropoints: int = 0
    taken_back: int = 0  # micropoints, by undoing
    by_sums: int = 0  # orders whose refunds are known in sums only
    earning_nothing: dict[str, int] = {}  # why -> how many; of a dry run only
    skipped: dict[str, int] = {}  # why -> how many
    examples: list[str] = []  # of what was skipped

    def skip(self, what: str | None, why: str, many: int = 1) -> None:
        """Count something that is not taken in, and name it where `what` is given and few are named so far."""
        self.skipped[why] = self.skipped.get(why, 0) + many
        if what is not None and len(self.examples) < MOST_NAMED:
            self.examples.append(f"{what}: {why}")

    def plus(self, more: "Totals") -> "Totals":
        """Add what another part of the run brought."""
        sums = {name: getattr(self, name) + getattr(more, name) for name in (*_COUNTS, "micropoints", "taken_back")}
        return Totals(
            **sums,
            earning_nothing=_added(self.earning_nothing, more.earning_nothing),
            skipped=_added(self.skipped, more.skipped),
            examples=[*self.examples, *more.examples][:MOST_NAMED],
        )

    def shown(self) -> dict[str, object]:
        """The totals as JSON values, points whole."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "points": self.micropoints // MICRO,
            "points_taken_back": self.taken_back // MICRO,
            "earning_nothing": self.earning_nothing,
            "skipped": self.skipped,
            "examples": self.examples,
        }


def as_if_on(shop: Shop, now: int) -> tuple[Shop, int]:
    """Return the shop with earning on, and the number of the version history would be awarded under.

    Where earning is off, as if the newest programme were in force with it on.
    """
    version = shop.version_at(now)
    if version is not None and version.program.earning.enabled:
        return shop, version.number
    program = shop.current
    on = program.model_copy(update={"earning": program.earning.model_copy(update={"enabled": True})})
    supposed = Version(shop.versions[-1].number + 1 if shop.versions else 1, now - now % MICRO, on)
    return dataclasses.replace(shop, versions=(*shop.versions, supposed)), supposed.number


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
