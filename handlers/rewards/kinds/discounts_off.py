"""The shared discounts of rewards that merchants have switched off at the platform: noted, told once, and over."""

from typing import NamedTuple

from handlers.merchants.books import lock_books
from handlers.merchants.journal import note
from handlers.merchants.offers import Reward
from handlers.rewards.store import terms_of
from integration.database.steps import BIG, TEXT, Steps, ask, insert, plain


class SwitchedOff(NamedTuple):
    """A discount that codes share and that the merchant has switched off at the platform."""

    platform_id: str
    reward: str
    terms: str
    since_at: int


_OFF = plain("SELECT platform_id, reward, terms, since_at FROM discounts_off WHERE merchant_id = ?1 ORDER BY since_at")
_NOTE_OFF = insert(
    "discounts_off",
    "ON CONFLICT (merchant_id, platform_id) DO NOTHING",
    merchant_id=BIG,
    platform_id=TEXT,
    reward=TEXT,
    terms=TEXT,
    since_at=BIG,
)
_CLEAR_OFF = plain("DELETE FROM discounts_off WHERE merchant_id = ?1 AND platform_id = ?2")


def known(merchant_id: int) -> Steps[list[SwitchedOff]]:
    """List a merchant's shared discounts that are switched off at the platform, the longest first."""
    return [SwitchedOff(*row) for row in (yield from ask(_OFF, (merchant_id,)))]


def is_switched_off(merchant_id: int, name: str, reward: Reward) -> Steps[bool]:
    """Tell whether the merchant has switched the discount off, at the platform, that codes of a reward share."""
    if not reward.shared:
        return False
    terms = terms_of(reward)
    return any((one.reward, one.terms) == (name, terms) for one in (yield from known(merchant_id)))


def note_switched_off(merchant_id: int, off: SwitchedOff, now: int) -> Steps[None]:
    """Keep and journal, once, that a shared discount was switched off at the platform."""
    yield from lock_books([merchant_id])
    if (yield from _note_off(merchant_id, off)):
        detail = {"discount": off.platform_id}
        about = f"reward:{off.reward}"
        yield from note(merchant_id, "Shopify", "has a reward's discount switched off", about, detail, now)


def note_on(merchant_id: int, platform_id: str) -> Steps[None]:
    """Keep that a shared discount can be used, or is no more."""
    yield from ask(_CLEAR_OFF, (merchant_id, platform_id))


def _note_off(merchant_id: int, off: SwitchedOff) -> Steps[bool]:
    """Keep that a shared discount is switched off; False where that is known. The books must be locked."""
    before = {one.platform_id for one in (yield from known(merchant_id))}
    yield from ask(_NOTE_OFF, [(merchant_id, *off)])
    return off.platform_id not in before
