"""What people know better than the platforms: the language they are written to in, and their birthday."""

from collections.abc import Sequence
from typing import NamedTuple

from integration.clock import DAY
from integration.database.steps import BIG, Steps, ask, keyed, plain

# Later than any word of a platform: what a person at the shop has put right stays so.
BY_HAND = 2**61

_SPEAKS = plain("SELECT locale, locale_at FROM customers WHERE merchant_id = ?1 AND number = ?2")
_SET = plain("UPDATE customers SET locale = ?3, locale_at = ?4 WHERE merchant_id = ?1 AND number = ?2")

SLIP = DAY  # in which a birthday may be corrected
BIRTHDAY_KEPT = 365 * DAY  # before another may be told: nobody has two a year

_BIRTHDAYS = keyed(
    "SELECT c.birthday, c.birthday_at FROM {keys} k CROSS JOIN customers c"
    " WHERE c.merchant_id = k.merchant_id AND c.number = k.number AND c.birthday_at IS NOT NULL"
    " ORDER BY c.birthday_at DESC, c.number",
    merchant_id=BIG,
    number=BIG,
)
_TELL_BIRTHDAY = plain(
    "UPDATE customers SET birthday = ?3, birthday_at = ?4, birthday_due_at = ?5"
    " WHERE merchant_id = ?1 AND number = ?2 AND forgotten_at IS NULL"
)


class Birthday(NamedTuple):
    """What a person told of their birthday."""

    day: str | None  # MM-DD; None = nothing, or nothing any more
    told_at: int  # 0 = never

    def may_change_at(self, now: int) -> int:
        """Return from when on another day may be told; `now` where that is at once."""
        if not self.told_at or now < self.told_at + SLIP:
            return now
        return max(now, self.told_at + BIRTHDAY_KEPT)


def birthday_of(merchant_id: int, numbers: Sequence[int]) -> Steps[Birthday]:
    """Return the birthday that a person told last, under any of their numbers."""
    rows = yield from ask(_BIRTHDAYS, [(merchant_id, number) for number in numbers])
    return Birthday(rows[0][0], rows[0][1]) if rows else Birthday(None, 0)


def tell_birthday(merchant_id: int, numbers: Sequence[int], day: str | None, now: int) -> Steps[bool]:
    """Keep a person's birthday (MM-DD) under the first of their numbers; None = keep none any more, at any time.

    False where another was told within the year: then nothing changes.
    """
    before = yield from birthday_of(merchant_id, numbers)
    if day is not None and day == before.day:
        return True
    if day is not None and before.may_change_at(now) > now:
        return False
    # A correction, or taking it back, is no reason to tell another sooner.
    since = before.told_at if before.told_at and (day is None or now < before.told_at + SLIP) else now
    for number in numbers:
        yield from ask(_TELL_BIRTHDAY, (merchant_id, number, None, None, None))
    yield from ask(_TELL_BIRTHDAY, (merchant_id, numbers[0], day, since, now))
    return True


def spoken(merchant_id: int, customer: int) -> Steps[tuple[str | None, bool]]:
    """Return the locale that is kept of a person, and whether it was set by hand."""
    rows = yield from ask(_SPEAKS, (merchant_id, customer))
    return (rows[0][0], rows[0][1] >= BY_HAND) if rows else (None, False)


def correct_language(merchant_id: int, customer: int, language: str | None) -> Steps[None]:
    """Write to a person in a language from now on, whatever platforms say; None = as the platforms say again.

    Until a platform tells their language the next time, they are then written to in their country's.
    """
    yield from ask(_SET, (merchant_id, customer, language, BY_HAND if language is not None else 0))
