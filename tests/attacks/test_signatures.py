"""Forged, missing, doubled, outdated and rotated signatures: 401 and nothing kept, or 200 where they are good."""

import base64
import dataclasses
import hashlib
import hmac
import json

import httpx
import pytest
from stripe import WebhookSignature

from config.asgi import build
from integration.shopify import webhooks
from tests.attacks.target import Target, event, signed
from tests.journeys.town import SHOPIFY_SECRET, STRIPE_SECRET

HMAC = "X-Shopify-Hmac-Sha256"


@pytest.mark.parametrize(
    "forgery",
    {
        "missing": lambda raw: None,
        "empty": lambda raw: "",
        "of another body": lambda raw: signed(raw + b" "),
        "by another secret": lambda raw: signed(raw, "another secret"),
        "by an empty secret": lambda raw: signed(raw, ""),
        "in hexadecimal": lambda raw: hmac.new(SHOPIFY_SECRET.encode(), raw, hashlib.sha256).hexdigest(),
        "cut short": lambda raw: signed(raw)[:-4],
        "in lower case": lambda raw: signed(raw).lower(),
        "no base64": lambda raw: "!" * 44,
        "very long": lambda raw: signed(raw) * 100,
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_bad_shopify_signature_is_401_and_nothing_is_kept(target: Target, forgery: tuple) -> None:  # type: ignore[type-arg]
    """The answer says nothing of the body, and not a row is written."""
    raw, before = target.order(), target.kept()
    answer = target.shopify(raw, headers={HMAC: forgery[1](raw)})
    assert answer.status_code == 401
    assert "line_items" not in answer.text and "Ana" not in answer.text
    assert target.kept() == before


def test_a_signature_told_twice_or_in_the_query_is_401(target: Target) -> None:
    """Twice the header is two claims; the query is no header."""
    raw, before = target.order(), target.kept()
    twice = [(HMAC, signed(raw)), (HMAC, signed(raw)), ("X-Shopify-Topic", "orders/create")]
    assert target.post("/webhooks/shopify", raw, twice).status_code == 401
    assert target.shopify(raw, headers={HMAC: None}, params={"hmac": signed(raw)}).status_code == 401
    assert target.kept() == before


def test_header_names_count_in_any_case(target: Target) -> None:
    """HTTP/2 writes them in lower case."""
    raw = target.order()
    answer = target.shopify(raw, headers={HMAC: None, HMAC.lower(): signed(raw)})
    assert answer.status_code == 200


@pytest.mark.parametrize("change", ["re-serialised", "byte order mark", "newline", "upper-case key"])
def test_the_signature_is_of_the_raw_bytes(target: Target, change: str) -> None:
    """The same JSON in other bytes is another body."""
    raw, before = target.order(), target.kept()
    changed = {
        "re-serialised": json.dumps(json.loads(raw), indent=1).encode(),
        "byte order mark": b"\xef\xbb\xbf" + raw,
        "newline": raw + b"\n",
        "upper-case key": raw.replace(b'"id"', b'"ID"', 1),
    }[change]
    assert target.shopify(changed, headers={HMAC: signed(raw)}).status_code == 401
    assert target.kept() == before


def test_digests_are_compared_whole_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever byte differs, two digests of 32 bytes go through one constant-time comparison for each secret."""
    seen: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(webhooks.hmac, "compare_digest", compare)
    good = hmac.digest(b"secret", b"body", "sha256")
    for position in (0, 31):
        wrong = bytearray(good)
        wrong[position] ^= 1
        assert not webhooks.verify(b"body", _base64(bytes(wrong)), ["secret", "older"])
    assert len(seen) == 4 and all(len(one) == len(other) == 32 for one, other in seen)


def test_during_a_rotation_both_secrets_sign_and_afterwards_the_old_one_does_not(target: Target) -> None:
    """The receiver knows two for a while, then one."""
    context = dataclasses.replace(target.town.street.context, shopify_secrets=("the new one", SHOPIFY_SECRET))
    later = dataclasses.replace(context, shopify_secrets=("the new one",))
    raw = target.order()

    async def answers() -> list[int]:
        statuses = []
        for known in (context, later):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(build(known)), base_url="http://x") as http:
                for secret in ("the new one", SHOPIFY_SECRET):
                    headers = {HMAC: signed(raw, secret), "X-Shopify-Topic": "orders/create"}
                    answer = await http.post("/webhooks/shopify", content=raw, headers=headers)
                    statuses.append(answer.status_code)
        return statuses

    assert target.run(answers()) == [200, 200, 200, 401]


def test_every_active_stripe_secret_and_every_v1_counts(target: Target) -> None:
    """While Stripe rolls a secret it signs with both; either is enough."""
    raw = event()
    at = target.town.street.clock.now() // 1_000_000
    good = WebhookSignature.generate_signature_header(raw.decode(), STRIPE_SECRET, at)
    other = WebhookSignature.generate_signature_header(raw.decode(), "whsec_old", at).partition(",")[2]
    assert target.stripe(raw, header=f"{good},{other}").status_code == 200
    stamp, _, signature = good.partition(",")
    assert target.stripe(raw, header=f"{stamp},{other},v0=abc,{signature}").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "garbage", "t=1,v1=", "t=x,v1=ab", "v1=ab", "t=1", "t=" + "9" * 5000 + ",v1=ab", "t=1,v0=ab"]
)
def test_a_bad_stripe_header_is_401_and_nothing_is_kept(target: Target, header: str) -> None:
    """Whatever is wrong with it."""
    before = target.kept()
    assert target.stripe(event(), header=header).status_code == 401
    assert target.kept() == before


def test_a_stripe_signature_of_another_secret_or_of_no_secret_is_401(target: Target) -> None:
    """A blank secret signs nothing."""
    before = target.kept()
    for secret in ("whsec_another", " "):
        assert target.stripe(event(), secret=secret).status_code == 401
    assert target.stripe(event(), header=target_signature_over_other_body(target)).status_code == 401
    assert target.kept() == before


@pytest.mark.parametrize(("age", "status"), [(299, 200), (302, 401), (86_400, 401), (-299, 200), (-302, 401)])
def test_a_stripe_signature_has_five_minutes_either_way(target: Target, age: int, status: int) -> None:
    """Older is a replay; from the future is a wrong clock or a lie."""
    assert target.stripe(event(), age=age).status_code == status


def test_a_replay_within_the_tolerance_is_200_and_has_no_second_effect(target: Target) -> None:
    """The very same request again, byte for byte."""
    for age in (0, 10, 200):
        assert target.stripe(event(), age=age).status_code == 200
    assert len(target.outcomes()) == 1


def test_a_body_that_is_no_text_is_judged_by_its_bytes(target: Target) -> None:
    """Not decoded before it is verified: a bad signature is 401, a good one kept raw."""
    raw = b"\xff\xfe\x00 not UTF-8"
    assert target.stripe(raw, header="t=1,v1=" + "0" * 64).status_code == 401
    assert target.stripe(raw).status_code == 200
    ((outcome, reason),) = target.outcomes()
    assert outcome in (None, "unhandled") and reason


def test_an_unknown_stripe_path_is_404(target: Target) -> None:
    """Nothing tells whether another token would be known."""
    for token in ("unknown-token-of-some-length", "x", "%00", "a" * 500):
        answer = target.post(f"/webhooks/stripe/{token}", event(), {"Stripe-Signature": "t=1,v1=ab"})
        assert answer.status_code == 404


def target_signature_over_other_body(target: Target) -> str:
    """A good signature, of another event."""
    at = target.town.street.clock.now() // 1_000_000
    return WebhookSignature.generate_signature_header(event(id="evt_other").decode(), STRIPE_SECRET, at)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
