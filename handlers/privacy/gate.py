"""The gate before the hot path: keeps back what tells of somebody who was forgotten, and takes requests by law."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from handlers.holders import Name
from handlers.inbox.record import DELETE_BODIES
from handlers.inbox.rules import Outcome, Told
from handlers.privacy import personal, store
from handlers.privacy.rules import (
    DATA,
    REDACT,
    SHOP,
    WAIT_FOR_FILES,
    Telling,
    Tombstone,
    digest,
    judge,
    telling,
    without,
)
from integration.database.steps import BIG, TEXT, Steps, ask, insert, keyed
from integration.facts import Fact, PrivacyRequest
from integration.vault import Vault

MOST_RECEIPTS = 500

STOPPED = Outcome("applied", "it tells of somebody who was forgotten")
ASKED = Outcome("applied", "it was taken note of and will be carried out")
ASKED_AGAIN = Outcome("applied", "it was asked before")

# What we looked up ourselves is named after what it is about.
_UNNAME = keyed(
    "UPDATE events SET delivery_id = 'forgotten-' || events.id FROM {keys} k"
    " WHERE events.id = k.id AND events.recovered = 1",
    id=BIG,
)
_DO_NOT_MAIL = insert(
    "suppressions",
    "ON CONFLICT (merchant_id, channel, address) DO NOTHING",
    merchant_id=BIG,
    channel=TEXT,
    address=TEXT,
    reason=TEXT,
    at=BIG,
)

_Dead = dict[int, dict[Name, Tombstone]]  # merchant -> whoever of a batch was forgotten


class Gate:
    """Stands before the hot path, where nobody was forgotten at the cost of one look; takes wishes of pages."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def sieve(self, told: Sequence[Told], now: int) -> Steps[tuple[list[Told], dict[int, Outcome]]]:
        """Keep back what tells of somebody who was forgotten, and leave nothing of it; see `rules.judge`."""
        keys = yield from store.keys_of({one.merchant_id for one in told}, self._vault)
        tellings = {
            position: [telling(fact) for fact in one.reading.facts]
            for position, one in enumerate(told)
            if one.merchant_id in keys
        }
        dead = (yield from self._dead(told, tellings, keys)) if tellings else {}
        if not any(dead.values()):
            return list(told), {}
        passed: list[Told] = []
        outcomes: dict[int, Outcome] = {}
        sieved = _Sieved(keys, dead, now)
        for position, one in enumerate(told):
            if position not in tellings:
                passed.append(one)
                continue
            facts = sieved.pass_on(one, tellings[position])
            if facts or not one.reading.facts:
                passed.append(one._replace(reading=msgspec.structs.replace(one.reading, facts=tuple(facts))))
            else:
                outcomes[one.event_id] = STOPPED
        yield from sieved.write()
        return passed, outcomes

    def ask(self, told: Told, request: PrivacyRequest, now: int) -> Steps[Outcome]:
        """Take note of a request, once; what named the person in its delivery is not needed any more."""
        names: list[Name] = [
            (kind, value.strip())
            for kind, value in (("shopify", request.customer_id), ("email", request.email), ("phone", request.phone))
            if value
        ]
        names += [("shopify:order", number) for number in request.order_ids]
        if request.kind == SHOP:
            names.append(("shop", told.connection))
        body = told.envelope.digest
        number = yield from store.open_request(
            told.merchant_id, request.kind, "shopify", names, told.envelope.received_at, body=body
        )
        yield from ask(DELETE_BODIES, [(told.event_id,)])
        return ASKED if number is not None else ASKED_AGAIN

    def forget(self, merchant_id: int, customer: int, who: str, now: int) -> Steps[int]:
        """Ask for a customer to be forgotten, by the merchant's own wish."""
        return (yield from self._wish(REDACT, merchant_id, customer, who, now))

    def hand_over(self, merchant_id: int, customer: int, who: str, now: int) -> Steps[int]:
        """Ask for everything that is kept of a customer as a file."""
        return (yield from self._wish(DATA, merchant_id, customer, who, now))

    def receipts(self, merchant_id: int, customer: int | None = None) -> Steps[list[dict[str, Any]]]:
        """Return a merchant's newest requests, of one customer or of all, as JSON values."""
        found = yield from store.newest(merchant_id, MOST_RECEIPTS)
        ready = yield from store.ready(merchant_id)
        mine = [one for one in found if customer is None or customer in one.numbers]
        return [one.shown() | {"file": one.done_at is not None and one.id in ready} for one in mine]

    def waits_until(self, merchant_id: int, customer: int, now: int) -> Steps[int | None]:
        """Say until when, at most, forgetting a customer would wait for a file of theirs; None where it would not."""
        found = yield from personal.find(merchant_id, (), [customer])
        owed = yield from personal.owed_to(merchant_id, found, now)
        return now + WAIT_FOR_FILES if owed else None

    def file(self, merchant_id: int, request: int, now: int) -> Steps[tuple[str, bytes] | None]:
        """Return name and bytes of the file a request made, and note that it was fetched."""
        return (yield from store.fetch(merchant_id, request, now))

    def forgotten_at(self, merchant_id: int, people: Mapping[int, Iterable[Name]]) -> Steps[dict[int, int]]:
        """Say of customers when they asked to be forgotten under a number they had before.

        An address alone does not make a customer of the shop somebody else who had it.
        """
        keys = yield from store.keys_of([merchant_id], self._vault)
        if not keys:
            return {}
        mine: dict[tuple[int, str], list[int]] = {}
        for number, names in people.items():
            listed = sorted(names)
            for name in [one for one in listed if one[0] == "shopify"] or listed:
                mine.setdefault((merchant_id, digest(keys[merchant_id], name)), []).append(number)
        found: dict[int, int] = {}
        for mark, stone in (yield from store.tombstones_of(mine)).items():
            for number in mine[mark]:
                found[number] = max(stone.forgotten_at, found.get(number, 0))
        return found

    def gone(self, merchant_id: int, names: Iterable[Name]) -> Steps[frozenset[Name]]:
        """Say which of names are of people who were forgotten and have not bought since."""
        keys = yield from store.keys_of([merchant_id], self._vault)
        if not keys:
            return frozenset()
        marks = {(merchant_id, digest(keys[merchant_id], name)): name for name in names}
        stones = yield from store.tombstones_of(marks)
        return frozenset(marks[mark] for mark, stone in stones.items() if stone.back_at is None)

    def _wish(self, kind: str, merchant_id: int, customer: int, who: str, now: int) -> Steps[int]:
        for one in (yield from store.requests(merchant_id, only_open=True)):
            if one.kind == kind and customer in one.numbers:
                return one.id
        number = yield from store.open_request(merchant_id, kind, who, (), now, numbers=[customer])
        assert number is not None
        return number

    def _dead(
        self, told: Sequence[Told], tellings: dict[int, list[Telling | None]], keys: dict[int, bytes]
    ) -> Steps[_Dead]:
        """Find the tombstones of everybody a batch names."""
        marks: dict[tuple[int, str], set[Name]] = {}
        for position, each in tellings.items():
            merchant_id = told[position].merchant_id
            for one in each:
                for name in (*one.sale, *one.people) if one is not None else ():
                    marks.setdefault((merchant_id, digest(keys[merchant_id], name)), set()).add(name)
        dead: _Dead = {merchant_id: {} for merchant_id in keys}
        for place, stone in (yield from store.tombstones_of(marks)).items():
            dead[place[0]].update(dict.fromkeys(marks[place], stone))
        return dead


class _Sieved:
    """One batch at the gate: whom it names of the forgotten, and what is to be written of it."""

    def __init__(self, keys: dict[int, bytes], dead: _Dead, now: int) -> None:
        self._keys, self._dead, self._now = keys, dead, now
        self._emptied: list[int] = []
        self._buried: dict[int, dict[Name, None]] = {}
        self._back: list[tuple[int, str, int]] = []
        self._unwelcome: dict[tuple[int, str], str] = {}

    def pass_on(self, one: Told, tellings: Sequence[Telling | None]) -> list[Fact]:
        """Return the facts of an event that may pass, without who was forgotten."""
        dead = self._dead[one.merchant_id]
        facts: list[Fact] = []
        is_touched = False
        for fact, told in zip(one.reading.facts, tellings, strict=True):
            verdict = judge(told, dead) if told is not None else None
            if told is None or verdict is None or verdict.kind == "pass":
                facts.append(fact)
            elif verdict.kind == "back":
                facts.append(fact)
                self._welcome(one.merchant_id, told, verdict.names)
            else:
                is_touched = True
                if verdict.kind == "strip":
                    facts.append(without(fact, verdict.names))
                for name in told.sale if verdict.kind == "stop" else ():
                    # What else will be told of this sale is of the same buyer, though it may not say so.
                    dead.setdefault(name, Tombstone(self._now))
                    self._buried.setdefault(one.merchant_id, {})[name] = None
        if is_touched and one.run is None:
            self._emptied.append(one.event_id)
        return facts

    def write(self) -> Steps[None]:
        """Write what came of the batch: bodies that are gone, sales that stay away, people who are back."""
        keys = [(number,) for number in sorted(self._emptied)]
        yield from ask(_UNNAME, keys)
        yield from ask(DELETE_BODIES, keys)
        for merchant_id, names in sorted(self._buried.items()):
            yield from store.bury(merchant_id, self._keys[merchant_id], names, self._now)
        yield from store.welcome_back(self._back)
        rows = sorted((m, "email", address, why, self._now) for (m, address), why in self._unwelcome.items())
        yield from ask(_DO_NOT_MAIL, rows)

    def _welcome(self, merchant_id: int, told: Telling, names: Sequence[Name]) -> None:
        """Let somebody who bought again be a new customer; that they must not be mailed they need not say again."""
        dead = self._dead[merchant_id]
        for name in names:
            stone = dead[name]
            self._back.append((merchant_id, digest(self._keys[merchant_id], name), told.bought_at or self._now))
            dead[name] = stone._replace(back_at=stone.back_at or told.bought_at)
            for kind, address in told.people if stone.note else ():
                if kind == "email":
                    self._unwelcome[merchant_id, address] = stone.note or ""
