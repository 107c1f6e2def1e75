"""What people at the shop do for one customer by hand, each in one transaction, written down, and once per form."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from handlers.care.letters import KIND, Adjusted
from handlers.customers.correct import correct_language, spoken
from handlers.merchants.books import lock_books
from handlers.merchants.journal import note
from handlers.messages.holding import hold, let_go
from handlers.messages.outbox import Next, follow, kept
from handlers.points.adjust import adjust, forgive, present
from handlers.points.statement import balances
from integration.database.steps import Steps


def adjust_and_tell(
    merchant_id: int, who: str, customer: int, told: Adjusted, form_key: str, now: int
) -> Steps[Mapping[str, int]]:
    """Change somebody's points and want a letter that tells them; return what they have then.

    The same form again changes nothing. Raises Refused as `adjust` does.
    """
    balance = yield from adjust(merchant_id, customer, told.points, told.reason, form_key, now)
    yield from _tell(merchant_id, who, customer, told, form_key, "changed points by hand", now)
    return balance


def present_and_tell(
    merchant_id: int, who: str, numbers: Sequence[int], told: Adjusted, form_key: str, now: int
) -> Steps[Mapping[str, int]]:
    """Give points as a present and want a letter that tells of it; `numbers` and what is raised as for `present`."""
    balance = yield from present(merchant_id, numbers, told.points, told.reason, form_key, now)
    yield from _tell(merchant_id, who, numbers[0], told, form_key, "gave points as a present", now)
    return balance


def forgive_and_tell(
    merchant_id: int, who: str, customer: int, reason: str, form_key: str, now: int
) -> Steps[Mapping[str, int]]:
    """Forgive what somebody owes and want a letter that tells them; return what they have then.

    The same form again changes nothing. Raises Refused where nothing is owed.
    """
    yield from lock_books([merchant_id])
    if (yield from _is_done(merchant_id, form_key)):
        return (yield from balances(merchant_id, [customer]))[customer]
    before = (yield from balances(merchant_id, [customer]))[customer]["available"]
    balance = yield from forgive(merchant_id, customer, now)
    told = Adjusted(balance["available"] - before, reason)
    yield from _tell(merchant_id, who, customer, told, form_key, "forgave owed points", now)
    return balance


def hold_messages(merchant_id: int, who: str, customer: int, now: int) -> Steps[None]:
    """Send somebody nothing more for now."""
    if (yield from hold(merchant_id, customer, now)):
        yield from note(merchant_id, who, "held messages back", f"customer:{customer}", None, now)


def release_messages(merchant_id: int, who: str, customer: int, now: int) -> Steps[None]:
    """Let somebody's messages go out again."""
    if (yield from let_go(merchant_id, customer, now)):
        yield from note(merchant_id, who, "let messages go out again", f"customer:{customer}", None, now)


def speak(merchant_id: int, who: str, customer: int, language: str | None, now: int) -> Steps[None]:
    """Write to somebody in a language from now on; None = as platforms and their country say."""
    locale, by_hand = yield from spoken(merchant_id, customer)
    if (locale if by_hand else None) == language:
        return
    yield from correct_language(merchant_id, customer, language)
    detail: dict[str, Any] = {"before": locale if by_hand else None, "after": language}
    yield from note(merchant_id, who, "corrected the language", f"customer:{customer}", detail, now)


def _tell(merchant_id: int, who: str, customer: int, told: Adjusted, form_key: str, did: str, now: int) -> Steps[None]:
    """Write the change down and want the letter, unless this form has done so before; the books are locked."""
    if (yield from _is_done(merchant_id, form_key)):
        return
    details = msgspec.json.encode(told).decode()
    yield from follow(merchant_id, None, customer, False, Next(_letter(form_key), KIND, now, details), now)
    # The reason stands with the entry; what may name somebody stays out of the journal.
    yield from note(merchant_id, who, did, f"customer:{customer}", {"points": told.points}, now)


def _is_done(merchant_id: int, form_key: str) -> Steps[bool]:
    return bool((yield from kept([(merchant_id, _letter(form_key))])))


def _letter(form_key: str) -> str:
    return f"{KIND}:{form_key}"
