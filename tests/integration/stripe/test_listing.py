"""Listing what happened in a Stripe account: whole events under their own ids, and objects of older times."""

import msgspec
import pytest
import stripe

from config.topics import TOPICS
from integration.clock import DAY, HOUR, SECOND
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.sandbox.stripe import Account
from integration.sandbox.stripe_api import HANGS, PretendStripe
from integration.stripe import listing as module
from integration.stripe.api import StripeApi
from integration.stripe.listing import Listed, Listing
from integration.stripe.webhooks import envelope
from tests.integration.sandbox.conftest import ENDPOINT_SECRETS, NOON, Hands
from tests.integration.sandbox.test_apis import served


class Asked:
    """A pretend account, its API on loopback, and our listing of it."""

    def __init__(self, url: str, pretend: PretendStripe, hands: Hands) -> None:
        self.pretend, self.account, self.hands = pretend, pretend.account, hands
        self.slept: list[float] = []
        self.url = url
        self.api = StripeApi(base=url, http=stripe.HTTPXClient(timeout=10))
        self.listing = Listing(self.api, self.account.api_key, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def events(self, since: int, until: int | None = None) -> list[Listed]:
        return [one async for page in self.listing.events(since, until) for one in page]

    async def objects(self, kind: str, since: int, until: int) -> list[Listed]:
        return [one async for page in self.listing.objects(kind, since, until, self.hands.at) for one in page]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0)
    hands = Hands()
    pretend = PretendStripe(Account(secrets=ENDPOINT_SECRETS, path="/webhooks/stripe/tok", clock=hands))
    async with served(pretend.app) as url:
        asked = Asked(url, pretend, hands)
        yield asked
        await asked.api.aclose()


async def test_events_are_listed_whole_under_the_ids_of_their_webhooks(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, each once; those of types nobody subscribed to are not asked for."""
    monkeypatch.setattr(module, "A_PAGE", 4)
    told = []
    for _ in range(5):
        asked.hands.pass_seconds(60)
        told += asked.account.pay(10_00, email="ana@example.com")[1]
    asked.account.pay(5_00, capture=False)
    found = await asked.events(NOON)
    wanted = {delivery.id: delivery for delivery in told}
    assert {one.id for one in found if one.id in wanted} == set(wanted)
    assert len({one.id for one in found}) == len(found)
    for one in found:
        assert one.topic in module.TYPES
        if one.id in wanted:
            assert msgspec.json.decode(one.body) == msgspec.json.decode(wanted[one.id].body)
            assert one.created_at == wanted[one.id].at
            assert envelope(one.body, 1)[0].delivery_id == one.id
    assert asked.listing.calls == len(asked.slept) + 1 > 1


async def test_only_the_time_asked_for_is_listed(asked: Asked) -> None:
    """From the first instant on, up to before the second."""
    ids = []
    for _ in range(3):
        ids.append([delivery.id for delivery in asked.account.pay(10_00)[1]])
        asked.hands.pass_seconds(3600)
    found = await asked.events(NOON + HOUR, NOON + 2 * HOUR)
    assert {one.id for one in found} == set(ids[1])
    asked.hands.at += 30 * DAY
    assert await asked.events(NOON) == []


async def test_objects_stand_in_for_events_of_older_times(asked: Asked) -> None:
    """Charges with their refunds, refunds and disputes read as events do; the same state has the same id."""
    payment, _ = asked.account.pay(40_00, email="ana@example.com")
    asked.account.refund(payment, 10_00)
    asked.account.open_dispute(payment)
    asked.hands.at += 40 * DAY
    before: dict[str, str] = {}
    for kind, topic in module.OBJECTS.items():
        (one,) = await asked.objects(kind, NOON, NOON + DAY)
        assert (one.topic, one.created_at) == (topic, NOON - NOON % SECOND)
        assert TOPICS["stripe"][topic](one.body, envelope(one.body, 1)[0]).facts
        before[kind] = one.id
    asked.hands.pass_seconds(60)
    assert {kind: (await asked.objects(kind, NOON, NOON + DAY))[0].id for kind in before} == before
    asked.account.refund(payment, 5_00)
    (changed,) = await asked.objects("charge", NOON, NOON + DAY)
    assert changed.id != before["charge"]


@pytest.mark.parametrize(
    ("statuses", "error"),
    [([429] * 3, Unavailable), ([500] * 3, Unavailable), ([401], Revoked), ([403], Rejected), ([400], Rejected)],
)
async def test_failures_are_told_in_our_words(asked: Asked, statuses: list[int], error: type[OutsideError]) -> None:
    """Stripe's library asks again by itself twice; then it is for the caller to say when."""
    asked.pretend.fail_next = statuses
    with pytest.raises(error):
        await asked.events(NOON)


async def test_an_account_that_does_not_answer_is_unavailable(asked: Asked) -> None:
    """After the time limit of each of three attempts."""
    asked.pretend.fail_next, asked.pretend.hang_seconds = [HANGS] * 3, 2.0
    hasty = StripeApi(base=asked.url, http=stripe.HTTPXClient(timeout=0.2))
    with pytest.raises(Unavailable):
        await anext(Listing(hasty, asked.account.api_key).events(NOON, None))
    await hasty.aclose()


async def test_a_list_of_another_shape_is_refused(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words."""

    class Answer:
        class last_response:
            body = b'{"data": [{"object": "event"}]}'

    async def odd(_: object) -> Answer:
        return Answer()

    monkeypatch.setattr(asked.listing, "_events", odd)
    with pytest.raises(Rejected, match="another shape"):
        await asked.events(NOON)
