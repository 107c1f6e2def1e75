"""Looking at Stripe's objects: what comes back as facts, and the outside's failures in our four words."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx
import stripe

from integration.clock import Clock
from integration.errors import OutsideError, Rejected, Revoked, Unavailable
from integration.facts import (
    ChargeSeen,
    CustomerSeen,
    DisputeSeen,
    InvoiceSeen,
    PaymentSeen,
    SessionSeen,
    StripeRefundSeen,
)
from integration.stripe import api as module
from integration.stripe.api import API_VERSION, StripeApi
from tests.integration.stripe import bodies

CHARGE = "https://api.stripe.com/v1/charges/ch_1"


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeApi]:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0)
    api = StripeApi()
    yield api
    await api.aclose()


@pytest.mark.parametrize(
    ("kind", "path", "thing", "told"),
    [
        ("charge", "charges/ch_1", bodies.charge(), [ChargeSeen]),
        ("payment_intent", "payment_intents/pi_1", bodies.payment(latest_charge=bodies.charge()),
         [PaymentSeen, ChargeSeen]),
        ("checkout.session", "checkout/sessions/cs_live_1", bodies.session(), [SessionSeen]),
        ("invoice", "invoices/in_1", bodies.invoice(), [InvoiceSeen]),
        ("refund", "refunds/re_1", bodies.refund(charge=bodies.charge(amount_refunded=1000)),
         [StripeRefundSeen, ChargeSeen]),
        ("refund", "refunds/re_1", bodies.refund(charge=None), [StripeRefundSeen]),
        ("dispute", "disputes/du_1", bodies.dispute(), [DisputeSeen]),
        ("customer", "customers/cus_1", bodies.customer(), [CustomerSeen]),
        ("customer", "customers/cus_1", {"id": "cus_1", "object": "customer", "deleted": True}, [CustomerSeen]),
    ],
)  # fmt: skip
@respx.mock
async def test_every_kind_is_told_as_facts(
    api: StripeApi, kind: str, path: str, thing: bodies.Body, told: list[type]
) -> None:
    """The same facts as its event's; a refund brings its charge, a payment its charge."""
    route = respx.get(f"https://api.stripe.com/v1/{path}").respond(json=thing)
    facts = await api.look("rk_live_key", kind, path.rpartition("/")[2])
    assert [type(fact) for fact in facts] == told
    sent = route.calls[0].request
    assert sent.headers["authorization"] == "Bearer rk_live_key"
    assert sent.headers["stripe-version"] == API_VERSION
    assert "x-stripe-client-telemetry" not in sent.headers


@respx.mock
async def test_what_the_api_shows_is_as_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispute looked at is newer than every event that told of it before."""
    clock = Clock()
    monkeypatch.setattr(Clock, "now", lambda self: 42)
    respx.get("https://api.stripe.com/v1/disputes/du_1").respond(json=bodies.dispute())
    (fact,) = await StripeApi(clock=clock).look("k", "dispute", "du_1")
    assert isinstance(fact, DisputeSeen)
    assert fact.dispute.told_at == 42


@respx.mock
async def test_test_mode_is_told_by_the_object(api: StripeApi) -> None:
    """An answer has no event around it."""
    respx.get(CHARGE).respond(json=bodies.charge(livemode=False))
    (fact,) = await api.look("rk_test_key", "charge", "ch_1")
    assert isinstance(fact, ChargeSeen)
    assert not fact.charge.livemode


@pytest.mark.parametrize(
    ("status", "word"),
    [(401, Revoked), (403, Revoked), (404, Rejected), (400, Rejected), (402, Rejected), (429, Unavailable),
     (500, Unavailable), (503, Unavailable)],
)  # fmt: skip
@respx.mock
async def test_every_status_has_its_word(api: StripeApi, status: int, word: type[OutsideError]) -> None:
    """The four words say what to do, so that callers need not know Stripe's errors."""
    error = {"error": {"type": "invalid_request_error", "message": "rk_live_key is wrong"}}
    respx.get(CHARGE).respond(status, json=error)
    with pytest.raises(word) as raised:
        await api.look("rk_live_key", "charge", "ch_1")
    assert "rk_live_key" not in str(raised.value)


@pytest.mark.parametrize("failure", [httpx.ConnectTimeout("slow"), httpx.ReadTimeout("slow"), httpx.ConnectError("no")])
@respx.mock
async def test_a_broken_connection_is_tried_again_and_then_later(api: StripeApi, failure: Exception) -> None:
    """Twice at once, since most breaks are short; attempts are counted."""
    route = respx.get(CHARGE).mock(side_effect=failure)
    with pytest.raises(Unavailable):
        await api.look("k", "charge", "ch_1")
    assert route.call_count == 1 + module.MOST_RETRIES


@respx.mock
async def test_a_short_failure_is_not_noticed(api: StripeApi) -> None:
    """The second attempt answers."""
    respx.get(CHARGE).mock(side_effect=[httpx.Response(500), httpx.Response(200, json=bodies.charge())])
    assert len(await api.look("k", "charge", "ch_1")) == 1


@respx.mock
async def test_what_cannot_be_read_is_no_crash(api: StripeApi) -> None:
    """A page of another kind passes; an object without a currency will not change."""
    respx.get(CHARGE).respond(200, text="<html>maintenance</html>")
    with pytest.raises(Unavailable):
        await api.look("k", "charge", "ch_1")
    respx.get(CHARGE).respond(json=bodies.charge(currency=None))
    with pytest.raises(Rejected, match="currency"):
        await api.look("k", "charge", "ch_1")


async def test_an_unknown_kind_is_rejected(api: StripeApi) -> None:
    """Without asking."""
    with pytest.raises(Rejected):
        await api.look("k", "payout", "po_1")


@respx.mock
async def test_another_address_can_be_asked() -> None:
    """Pretend Stripes stand on loopback."""
    respx.get("http://127.0.0.1:9/v1/charges/ch_1").respond(json=bodies.charge())
    assert len(await StripeApi(base="http://127.0.0.1:9").look("k", "charge", "ch_1")) == 1
