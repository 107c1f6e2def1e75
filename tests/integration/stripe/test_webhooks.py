"""Stripe's signatures, by our verifier and by Stripe's own library, and how a verified body is filed."""

import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import WebhookSignature

from integration.stripe.webhooks import LONGEST_HEADER, UNREADABLE, envelope, verify
from tests.integration.stripe.bodies import PAID, SAMPLES, SECOND, encoded, thin

SECRET, OLD_SECRET = "whsec_now", "whsec_before"
BODY = b'{"id":"evt_1","name":"Th\xc3\xa9"}'
NOW = 1_795_000_000


def mark(body: bytes = BODY, secret: str = SECRET, at: int | str = NOW) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def sign(body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> str:
    return f"t={at},v1={mark(body, secret, at)}"


def test_any_secret_and_any_mark_may_match() -> None:
    """While a secret rolls over, Stripe sends a mark for each, in no promised order."""
    both = f"t={NOW},v1={mark(secret=OLD_SECRET)},v1={mark()},v0={'0' * 64}"
    assert verify(BODY, both, [SECRET], NOW)
    assert verify(BODY, both.encode(), [OLD_SECRET], NOW)
    assert verify(BODY, sign(secret=OLD_SECRET), [SECRET, OLD_SECRET], NOW)
    assert not verify(BODY, sign(secret=OLD_SECRET), [SECRET], NOW)


@pytest.mark.parametrize(
    ("age", "verdict"), [(0, True), (300, True), (301, False), (-300, True), (-301, False), (86_400, False)]
)
def test_a_signature_may_be_five_minutes_off_either_way(age: int, verdict: bool) -> None:
    """Stripe's own library takes any time in the future; a replay could be dated there."""
    assert verify(BODY, sign(at=NOW - age), [SECRET], NOW) is verdict


def test_the_age_limit_cannot_be_switched_off() -> None:
    """In Stripe's library a tolerance of nothing means no limit."""
    assert not verify(BODY, sign(at=NOW - 2), [SECRET], NOW, tolerance=0)
    assert verify(BODY, sign(), [SECRET], NOW, tolerance=0)


def test_spaces_after_commas_are_no_offence() -> None:
    """Proxies rewrite headers so."""
    assert verify(BODY, f"t={NOW}, v1={mark()}", [SECRET], NOW)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "t=", "garbage", "t=1,v1=", f"t={NOW}", f"v1={mark()}", f"t={NOW},v0={mark()}", f"t=x,v1={mark()}",
        f"t={NOW},v1={mark().upper()}", f"t={NOW},v1={mark()}0", f"t={NOW},v1= {mark()}", f"t={NOW + 1},v1={mark()}",
        f"t={'9' * 5_000},v1={mark()}", f"t=-{NOW},v1={mark()}", f"t={NOW}.5,v1={mark()}", f"t=²,v1={mark()}",
        f"t={NOW},v1={mark()}é", b"\xff\xfe", "\udcff", f"t={NOW},v1={mark()}" + "," * LONGEST_HEADER,
        f"t={NOW};v1={mark()}", "é" * 70,
    ],
)  # fmt: skip
def test_no_header_but_the_right_one_verifies(header: str | bytes | None) -> None:
    """Whatever is sent: False, and never an exception."""
    assert verify(BODY, header, [SECRET], NOW) is False


def test_a_blank_secret_signs_nothing() -> None:
    """An endpoint without a secret would be open to all."""
    for blank in ("", " "):
        assert not verify(BODY, sign(secret=blank), [blank], NOW)
    assert not verify(BODY, sign(), [], NOW)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe\x00", b"[]", b" " * 2_000_000])
def test_bodies_that_are_no_text_verify(body: bytes) -> None:
    """Bytes are not decoded before they are known to be Stripe's."""
    assert verify(body, sign(body), [SECRET], NOW)
    assert not verify(body + b"\n", sign(body), [SECRET], NOW)


@given(header=st.binary(max_size=120) | st.text(max_size=120), body=st.binary(max_size=20))
def test_no_header_makes_it_raise(header: bytes | str, body: bytes) -> None:
    """Anybody can send anything."""
    assert verify(body, header, [SECRET], NOW) is False


@given(body=st.text(max_size=300), at=st.integers(NOW - 299, NOW + 299))
def test_stripes_own_library_agrees(body: str, at: int) -> None:
    """What the official signer signs verifies, and what we sign its verifier accepts."""
    text = body.encode("utf-8", "replace").decode()
    official = WebhookSignature.generate_signature_header(text, SECRET, at)
    assert verify(text.encode(), official, [OLD_SECRET, SECRET], NOW)
    assert not verify(text.encode() + b" ", official, [SECRET], NOW)
    assert WebhookSignature.verify_header(text, sign(text.encode(), at=at), SECRET)


def test_an_event_is_filed_by_what_it_says() -> None:
    """Its id makes a resend the same delivery."""
    filed, livemode = envelope(encoded(SAMPLES["charge.succeeded"]), 9)
    assert (filed.source, filed.topic, filed.delivery_id) == ("stripe", "charge.succeeded", "evt_charge_succeeded")
    assert (filed.triggered_at, filed.received_at, livemode) == ((PAID + 1) * SECOND, 9, True)


def test_a_thin_event_is_filed_alike() -> None:
    """Its time is written in words."""
    filed, _ = envelope(encoded(thin("v1.charge.refunded", "charge", "ch_1")), 9)
    assert (filed.topic, filed.delivery_id) == ("v1.charge.refunded", "evt_thin")
    assert filed.triggered_at == 1_795_329_000_000_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"id":"evt_1"}', b'{"id":1,"type":"x"}', b'{"id":"","type":"x"}',
     b'{"id":"e","type":"a\\nb"}', b"[" * 100_000, json.dumps({"id": "e" * 300, "type": "x"}).encode()],
)  # fmt: skip
def test_what_is_no_event_is_filed_by_its_digest(body: bytes) -> None:
    """It is verified, so it is kept; what is wrong with it is told when it is read."""
    filed, livemode = envelope(body, 9)
    assert filed.topic == UNREADABLE
    assert filed.delivery_id == hashlib.sha256(body).hexdigest()
    assert (filed.triggered_at, livemode) == (None, False)


@pytest.mark.parametrize("created", ["yesterday", 10**18, -1, None, ""])
def test_a_strange_time_is_no_time(created: object) -> None:
    """The event itself is still filed."""
    filed, _ = envelope(encoded({"id": "evt_1", "type": "x", "created": created}), 9)
    assert (filed.topic, filed.triggered_at) == ("x", None)
