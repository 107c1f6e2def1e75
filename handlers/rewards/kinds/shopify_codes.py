"""Codes at Shopify: found, and many added to the one discount they share by one question.

Shopify adds codes behind its answer and tells later of each that it could not add.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from handlers.rewards.kinds import (
    Asked,
    Issued,
    NotMade,
    Outcome,
    Pending,
    Platform,
    Standing,
    SwitchedOff,
    Unfinished,
    Wanted,
)
from integration.clock import HOUR
from integration.errors import Rejected, Unavailable

MOST_WAIT = 6 * HOUR  # for Shopify to finish adding codes
LOOK_AGAIN = 2.0  # seconds until codes that are being added are looked for again
TAKEN = "TAKEN"
_ENDED = "EXPIRED"  # how Shopify calls a discount that was switched off, or whose end is over
_UNKNOWN = "Shopify does not tell what became of this code."


@dataclass(frozen=True, slots=True)
class SharedCodes:
    """Adds codes to the discount they share; `make` makes that discount with its first code, where there is none."""

    make: Callable[[Platform, Wanted], Awaitable[Outcome]]

    async def issue_all(self, at: Platform, asked: Sequence[Asked]) -> Sequence[Outcome]:
        """Add codes that are not there yet; returns what became of each."""
        told: dict[str, Outcome] = {}
        marks = {each.wanted.mark for each in asked if each.wanted.mark is not None}
        for mark in sorted(marks):
            told |= await _became(at, mark, [each.wanted for each in asked if each.wanted.mark == mark])
        for each in asked:
            if each.again and each.wanted.mark is None:
                found = await find(at, each.wanted.code)
                if found is not None:
                    told[each.wanted.code] = _there(found)
        fresh = [each.wanted for each in asked if each.wanted.code not in told]
        if fresh:
            told |= await self._add(at, fresh)
        return [told[each.wanted.code] for each in asked]

    async def take_back_all(self, at: Platform, wanted: Sequence[Wanted]) -> Sequence[Standing]:
        """Take codes off the discount they share, by one question for all of one discount; what was used stays used.

        Once used a code would still hold for others who have come to know it.
        """
        found = [await find(at, each.code) for each in wanted]
        there = [one for one in found if one is not None]
        for discount in sorted({one.id for one in there}):
            codes = [one.code_id for one in there if one.id == discount and one.code_id is not None]
            if codes:
                refuse(only(await at.shopify("reward_code_remove", {"discount": discount, "codes": codes})))
        # They are deleted behind the answer: whoever asks looks again until they are gone, together.
        first = next((each for each, one in zip(wanted, found, strict=True) if one is not None), None)
        is_done = first is None or await find(at, first.code) is None
        stands: list[Standing] = []
        for each, one in zip(wanted, found, strict=True):
            if one is None:
                stands.append("gone")
            elif not is_done or (each is not first and await find(at, each.code) is not None):
                stands.append("unused")
            else:
                stands.append("used" if one.uses else "gone")
        return stands

    async def _add(self, at: Platform, fresh: Sequence[Wanted]) -> dict[str, Outcome]:
        parent = fresh[0].parent
        if parent is None:
            return await self._founded(at, fresh)
        # Shopify adds codes to a discount that is off without a word, and they would not work.
        stands = (await conditions(at, [parent]))[parent]
        if stands == "gone":
            # The merchant has deleted it, and every code with it: what is wanted now gets another.
            return await self._founded(at, fresh)
        if stands == "off":
            return {each.code: SwitchedOff(parent) for each in fresh}
        codes = [{"code": each.code} for each in fresh]
        made = only(await at.shopify("reward_codes_add", {"discount": parent, "codes": codes}))
        creation, errors = (made.get("bulkCreation") or {}).get("id"), made.get("userErrors") or []
        if errors or not creation:
            return {each.code: NotMade(said(errors)) for each in fresh}
        await at.note(creation, {each.number for each in fresh})
        try:
            return await _became(at, creation, fresh)
        except Rejected as error:
            raise Unavailable(f"it cannot be read what became of codes: {error}") from error

    async def _founded(self, at: Platform, fresh: Sequence[Wanted]) -> dict[str, Outcome]:
        """Make the discount with the first code; the others are added once it is known."""
        first, *others = fresh
        return {first.code: await self.make(at, first), **{each.code: Pending(0, asked=False) for each in others}}


async def _became(at: Platform, creation: str, codes: Sequence[Wanted]) -> dict[str, Outcome]:
    """Read what became of codes that were asked for together."""
    node = (await at.shopify("reward_codes_added", {"id": creation})).get("discountRedeemCodeBulkCreation")
    if isinstance(node, Mapping) and not node["done"]:
        return {each.code: await _unfinished(at, each) for each in codes}
    parent = ((node or {}).get("discountCode") or {}).get("id")
    if parent is not None and node is not None and not node["failedCount"]:
        return {each.code: Issued(str(parent)) for each in codes}
    failed = await _failed(at, creation) if node is not None else {}
    outcomes: dict[str, Outcome] = {}
    for each in codes:
        found = None
        errors = failed.get(each.code.upper())
        if not errors or any(error.get("code") == TAKEN for error in errors):
            # Nobody can guess our code: that it is taken means that an earlier question was done after all.
            found = await find(at, each.code)
        outcomes[each.code] = NotMade(said(errors) if errors else _UNKNOWN) if found is None else _there(found)
    return outcomes


async def _unfinished(at: Platform, wanted: Wanted) -> Outcome:
    """Wait for a code that is being added, and look for it at last; nobody knows one that comes to be after that."""
    if wanted.tried_at is None or wanted.now - wanted.tried_at < MOST_WAIT:
        return Pending(LOOK_AGAIN)
    found = await find(at, wanted.code)
    return (
        Unfinished(f"Shopify has not made this code in {MOST_WAIT // HOUR} hours.") if found is None else _there(found)
    )


async def _failed(at: Platform, creation: str) -> dict[str, list[Mapping[str, Any]]]:
    """Read what was wrong with codes that could not be added, by code; what was added has no errors."""
    node = (await at.shopify("reward_codes_failed", {"id": creation})).get("discountRedeemCodeBulkCreation") or {}
    return {str(each["code"]).upper(): each["errors"] or [] for each in (node.get("codes") or {}).get("nodes") or []}


Condition = Literal["on", "off", "gone"]


async def conditions(at: Platform, discounts: Sequence[str]) -> dict[str, Condition]:
    """Say of discounts, a hundred at most, whether they can be used, were switched off, or are no more."""
    answer = await at.shopify("reward_discounts", {"ids": list(discounts)})
    stands: dict[str, Condition] = dict.fromkeys(discounts, "gone")
    for node in filter(None, answer.get("nodes") or ()):
        is_off = (node.get("codeDiscount") or {}).get("status") == _ENDED
        stands[str(node["id"])] = "off" if is_off else "on"
    return stands


class Found(NamedTuple):
    """A code as Shopify has it."""

    id: str  # of its discount
    code_id: str | None
    uses: int
    is_off: bool


async def find(at: Platform, code: str) -> Found | None:
    """Find the discount that has a code; None where there is none."""
    answer = await at.shopify("reward_by_code", {"code": code, "search": f"code:{code}"})
    node = answer.get("codeDiscountNodeByCode")
    if not isinstance(node, dict):
        return None
    discount = node.get("codeDiscount") or {}
    codes = (discount.get("codes") or {}).get("nodes") or []
    mine: Mapping[str, Any] = next((each for each in codes if str(each.get("code", "")).upper() == code.upper()), {})
    return Found(node["id"], mine.get("id"), mine.get("asyncUsageCount") or 0, discount.get("status") == _ENDED)


def _there(found: Found) -> Outcome:
    return SwitchedOff(found.id) if found.is_off else Issued(found.id)


def said(errors: Any) -> str:
    """Put what Shopify found wrong into one sentence."""
    words = [str(error.get("message", "")).strip().rstrip(".") for error in errors if isinstance(error, dict)]
    return f"Shopify says: {'; '.join(filter(None, words))[:300] or 'no reason'}."


def refuse(made: Mapping[str, Any]) -> None:
    """Raise Rejected where a change says what was wrong with it."""
    errors = made.get("userErrors") or []
    if errors:
        raise Rejected(said(errors))


def only(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the one thing a mutation answers with."""
    for value in answer.values():
        if isinstance(value, dict):
            return value
    raise Unavailable("Shopify answered a change with nothing")
