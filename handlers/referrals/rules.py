"""Which friends bring points to whom, how many, and why not: a pure function of all of one customer's referrals.

What is told late, twice or in any order comes to the same. A friend is somebody who never bought before; the order
with the code counts from its payment to its return, and brings nothing once it has come back (loyalty rules,
"self-referral check").
"""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from integration.clock import DAY
from integration.facts import Home

ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is read for something else
MOST_MISUSED = 5  # orders by people who are no new friends, after which a link is closed
CODE_LETTERS = 14  # 68 bits, so that none can be guessed
MOST_HOUSEHOLDS = 3  # other people at an address, above which it is a place many go to and no household
LEAST_STREET = 3  # letters and digits of a street that says something
KEPT_PART = 2  # a friend's order counts while half of it is kept; the least order is the code's own business
MOST_A_DAY = 10  # friends of one customer within a day, above which the shop is asked

State = Literal["pending", "given", "held", "refused", "returned", "waiting"]
Why = Literal[
    "",
    "self",  # the same person, by their addresses
    "known",  # they were a customer before, and asked to be forgotten
    "household",  # the same telephone
    "address",  # something was sent to both at the same address
    "mutual",  # the friend had brought the customer before
    "many",  # more friends in one day than people have
    "not_first",
    "month",  # as many friends as one may bring in a month
    "all",  # or ever
    "shop",  # the merchant said so
    "off",  # no referrals were offered when it was bought
    "unpaid",
    "returned",  # or most of it
]
FOR_GOOD = frozenset({"self", "known", "household", "address"})
"""What was found out about people, and stays so when their names are gone."""

_NO_FRIENDS = frozenset({"self", "known", "not_first"})
_DOUBTS = frozenset({"household", "address"})
_GMAIL = frozenset({"gmail.com", "googlemail.com"})


class Case(NamedTuple):
    """One order made with somebody's code, and what decides about it."""

    sale: int
    sold_at: int | None  # None = not paid yet
    month: str  # by the shop's calendar
    micropoints: int  # what a friend brought under the programme of that day; 0 = nothing was offered
    hold_ends: int
    goods_minor: int  # what was bought
    kept_minor: int  # of it, net of what came back or is disputed
    stands: bool  # it is paid, and was not cancelled
    first: bool  # nothing was bought by this person before
    likeness: str = ""  # self, known, mutual, household or address: of friend and customer
    decision: str = ""  # the merchant's: allowed or refused


class Caps(NamedTuple):
    """How many friends of one customer bring points."""

    a_month: int
    in_all: int


class Verdict(NamedTuple):
    """What a referral brings."""

    state: State
    why: Why = ""
    micropoints: int = 0
    held_until: int = 0  # 0 = they can be spent


def judge(cases: Iterable[Case], caps: Caps, now: int) -> dict[int, Verdict]:
    """Say what each of one customer's referrals brings, by sale; who came first takes the places there are."""
    found: dict[int, Verdict] = {}
    months: Counter[str] = Counter()
    days: list[int] = []
    for case in sorted(cases, key=lambda each: (each.sold_at or 0, each.sale)):
        verdict = _alone(case, now)
        if verdict.state in ("pending", "given") and case.sold_at is not None:
            days.append(case.sold_at)
            recent = sum(1 for at in days if at > case.sold_at - DAY)
            if len(days) > caps.in_all:
                verdict = Verdict("refused", "all")
            elif months[case.month] >= caps.a_month:
                verdict = Verdict("refused", "month")
            elif recent > MOST_A_DAY and case.decision != "allowed":
                verdict = Verdict("held", "many")
            else:
                months[case.month] += 1
            if verdict.state == "refused":
                days.pop()
        found[case.sale] = verdict
    return found


def _alone(case: Case, now: int) -> Verdict:
    """Judge a referral by itself."""
    if case.sold_at is None:
        return Verdict("waiting", "unpaid")
    if not case.micropoints:
        return Verdict("refused", "off")
    if case.decision == "refused":
        return Verdict("refused", "shop")
    if not case.first:
        return Verdict("refused", "not_first")
    if case.likeness == "self":
        return Verdict("refused", "self")
    if case.likeness == "known":
        return Verdict("refused", "known")
    if case.likeness == "mutual":
        return Verdict("refused", "mutual")
    if not case.stands or case.kept_minor <= 0 or case.kept_minor * KEPT_PART < case.goods_minor:
        return Verdict("returned", "returned")
    if case.likeness in _DOUBTS and case.decision != "allowed":
        return Verdict("held", "address" if case.likeness == "address" else "household")
    if case.hold_ends > now:
        return Verdict("pending", "", case.micropoints, case.hold_ends)
    return Verdict("given", "", case.micropoints)


def has_got_about(verdicts: Collection[Verdict], most: int) -> bool:
    """Tell whether a link was used as often as one may be, or too often by people who are no new friends."""
    misused = sum(1 for each in verdicts if each.state == "refused" and each.why in _NO_FRIENDS)
    return len(verdicts) >= most or misused >= MOST_MISUSED


def likeness(mine: Iterable[tuple[str, str]], theirs: Iterable[tuple[str, str]]) -> Literal["", "self", "household"]:
    """Say whether what names two people (kind and value) names one, or one household."""
    one, other = _marks(mine), _marks(theirs)
    if one["email"] & other["email"]:
        return "self"
    return "household" if one["phone"] & other["phone"] else ""


def place_of(home: Home) -> str:
    """Write an address so that two ways of typing one are the same; empty where it says too little.

    Letters and digits of country, postal code, street and second line, without case and accents: two flats of one
    house differ, and so do two people of whom one left the flat out.
    """
    country, code, street, more = (_bare(part) for part in (home.country, home.zip, home.street, home.more))
    return f"{country}|{code}|{street}{more}" if country and code and len(street) >= LEAST_STREET else ""


def _bare(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text).casefold() if each.isalnum())


def _marks(names: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {"email": set(), "phone": set()}
    for kind, value in names:
        if kind == "email" and value:
            found["email"].add(canonical(value))
        elif kind == "phone" and (digits := _digits(value)):
            found["phone"].add(digits)
    return found


def canonical(email: str) -> str:
    """Write an address as the mailbox it leads to: without a tag, and at Google without dots."""
    name, _, domain = email.strip().lower().rpartition("@")
    name = name.partition("+")[0]
    if domain in _GMAIL:
        name, domain = name.replace(".", ""), "gmail.com"
    return f"{name}@{domain}"


def _digits(phone: str) -> str:
    """Return the last nine digits of a telephone number, with which country and prefix do not matter."""
    digits = "".join(each for each in phone if each.isascii() and each.isdigit())
    return digits[-9:] if len(digits) >= 7 else ""


def spelt(drawn: bytes) -> str:
    """Write random bytes as a code of letters and digits that are not mistaken for one another."""
    number, letters = int.from_bytes(drawn), []
    for _ in range(CODE_LETTERS):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)
