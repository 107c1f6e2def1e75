"""Session tokens: one shape is believed, and every forgery of it is refused without telling the token."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from integration.clock import SECOND
from integration.errors import Forged
from integration.sandbox.session_tokens import OWNER, session_token
from integration.shopify.session_tokens import MOST_TOKEN, verify

SHOP, CLIENT = "marlow-finch.myshopify.com", "0123456789abcdef0123456789abcdef"
SECRET, OLD_SECRET = "shpss_now_now_now_now_now_now_now_now_", "shpss_before_before_before_before_before"
NOW = 1_795_000_000 * SECOND
SECOND_NOW = NOW // SECOND
HEADER = {"alg": "HS256", "typ": "JWT"}
RSA = rsa.generate_private_key(65537, 2048)


def made(**changes: Any) -> str:
    return session_token(SHOP, CLIENT, SECRET, NOW, **changes)


def claims(**changes: Any) -> dict[str, Any]:
    return {**jwt.decode(made(), options={"verify_signature": False}), **changes}


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def by_hand(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, digest: str = "sha256") -> str:
    """Sign any header and payload with the app's secret, as no library would."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signed = ".".join(map(encoded, parts))
    return f"{signed}.{encoded(hmac.new(SECRET.encode(), signed.encode(), digest).digest())}"


def refused(token: Any, now: int = NOW) -> str:
    with pytest.raises(Forged) as caught:
        verify(token, CLIENT, [SECRET, OLD_SECRET], now)
    return str(caught.value)


def test_a_token_of_the_admin_tells_who_looks_and_in_which_shop():
    """Shop, person and end come out of the token itself."""
    seen = verify(made(jti="one", sid="session"), CLIENT, [SECRET], NOW)
    assert (seen.shop, seen.user_id, seen.issued_at, seen.expires_at) == (SHOP, OWNER, NOW, NOW + 60 * SECOND)
    assert (seen.jti, seen.session_id) == ("one", "session")


def test_the_present_and_the_old_secret_both_count_and_no_third():
    """While a secret rolls over, either may have signed; afterwards the old one is refused."""
    old = session_token(SHOP, CLIENT, OLD_SECRET, NOW)
    assert verify(old, CLIENT, [SECRET, OLD_SECRET], NOW).shop == SHOP
    for secrets in ([SECRET], [], [""], [" "]):
        with pytest.raises(Forged):
            verify(old, CLIENT, secrets, NOW)


def test_a_blank_secret_signs_nothing():
    """A setting left empty must not accept what anybody can sign."""
    anybody = by_hand(HEADER, claims())
    signed = anybody.rpartition(".")[0]
    anybody = f"{signed}.{encoded(hmac.new(b' ', signed.encode(), 'sha256').digest())}"
    with pytest.raises(Forged):
        verify(anybody, CLIENT, ["", " "], NOW)


def test_without_an_app_there_is_no_token_to_believe():
    """An audience of nothing must not fit a program that is not set up."""
    for client_id in (None, ""):
        with pytest.raises(Forged):
            verify(made(aud=client_id or ""), client_id, [SECRET], NOW)


def test_ten_seconds_of_difference_between_clocks_are_allowed():
    """App Bridge is known to hand out tokens that begin a moment from now."""
    assert verify(made(), CLIENT, [SECRET], NOW + 69 * SECOND)
    assert verify(made(), CLIENT, [SECRET], NOW - 10 * SECOND)
    assert "expired" in refused(made(), NOW + 70 * SECOND)
    assert "not valid yet" in refused(made(), NOW - 11 * SECOND)
    assert "not valid yet" in refused(made(iat=SECOND_NOW + 11))


FORGED_HEADERS: dict[str, str] = {
    "no algorithm": by_hand({"alg": "none", "typ": "JWT"}, claims()),
    "no algorithm, unsigned": jwt.encode(claims(), None, algorithm="none"),
    "None in capitals": by_hand({"alg": "None"}, claims()),
    "algorithm left out": by_hand({"typ": "JWT"}, claims()),
    "a list of algorithms": by_hand({"alg": ["HS256"]}, claims()),
    "HS512": jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
    "HS512 by the same secret": by_hand({"alg": "HS512"}, claims(), "sha512"),
    "HS384 that says HS256": by_hand(HEADER, claims(), "sha384"),
    "RS256": jwt.encode(claims(), RSA, algorithm="RS256"),
    "RS256 with the secret as the key": by_hand({"alg": "RS256"}, claims()),
    "lower case": by_hand({"alg": "hs256"}, claims()),
    "a critical extension": by_hand({**HEADER, "crit": ["exp"], "exp": 1}, claims()),
    "a payload of its own": by_hand({**HEADER, "b64": False, "crit": ["b64"]}, claims()),
    "a key of its own choice": jwt.encode(claims(), "another-secret-another-secret-another", headers={
        "kid": "../../dev/null", "jku": "https://evil.example/keys", "jwk": {"kty": "oct", "k": "AAAA"}}),
    "a header that is no object": by_hand(b"[]", claims()),
    "a header that is no JSON": by_hand(b"\xff\xfe", claims()),
    "a header without end": by_hand(b"[" * 1000, claims()),
}  # fmt: skip


@pytest.mark.parametrize("token", FORGED_HEADERS.values(), ids=FORGED_HEADERS)
def test_only_the_one_algorithm_with_our_secret_is_believed(token):
    """The header is the forger's: it chooses neither the algorithm nor the key."""
    refused(token)


def test_the_public_key_of_another_scheme_is_no_secret():
    """RS256 verified with a shared secret, the classic confusion, does not verify either way."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{encoded(json.dumps(HEADER).encode())}.{encoded(json.dumps(claims()).encode())}"
    token = f"{signed}.{encoded(hmac.new(pem, signed.encode(), hashlib.sha256).digest())}"
    refused(token)
    with pytest.raises(Forged):
        verify(token, CLIENT, [pem.decode()], NOW)


@pytest.mark.parametrize("aud", ["another-app", CLIENT.upper(), "", [CLIENT], [CLIENT, "another-app"], 7, None])
def test_a_token_for_another_app_is_refused(aud):
    """A list with our app in it is refused too: Shopify writes one audience."""
    refused(made(aud=aud))


HOSTS = [
    "evil.example", "marlow-finch.myshopify.com.evil.example", "marlow-finch.myshopify.comevil.example",
    "marlow-finch.myshopify.com@evil.example", "evil.example#.myshopify.com", "evil.example/.myshopify.com",
    "evil.example?.myshopify.com", "evilmyshopify.com", "myshopify.com", ".myshopify.com", "-a.myshopify.com",
    "a.b.myshopify.com", "Marlow-Finch.myshopify.com", "marlow-finch.MYSHOPIFY.com", "marlow-finch.myshopify.com.",
    "marlow-finch.myshopify.com:443", "user:pw@marlow-finch.myshopify.com", "marlow-finch.myshopify.com/",
    "marlow-finch.myshopify.com/x", "marlow-finch.myshopify.com\n", " marlow-finch.myshopify.com",
    "marlow-finch.myshopify.com\r\nX: y", "xn--mrlow-finch-x8a.myshopify.com", "mаrlow-finch.myshopify.com",
    "a" * 200 + ".myshopify.com", "marlow_finch.myshopify.com", "", "admin.shopify.com",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_a_destination_that_is_no_shop_is_refused(host):
    """Suffixes, user names, ports, other alphabets and other cases: none is a shop's domain as Shopify writes it."""
    refused(made(iss=f"https://{host}/admin", dest=f"https://{host}"))


@pytest.mark.parametrize(
    ("iss", "dest"),
    [
        ("https://other.myshopify.com/admin", f"https://{SHOP}"),
        (f"https://{SHOP}/admin", "https://other.myshopify.com"),
        (f"https://{SHOP}.evil.example/admin", f"https://{SHOP}"),
        (f"https://evil.example/https://{SHOP}/admin", f"https://{SHOP}"),
        (f"http://{SHOP}/admin", f"http://{SHOP}"),
        (f"http://{SHOP}/admin", f"https://{SHOP}"),
        (f"https://{SHOP}/admin", SHOP),
        (f"https://{SHOP}/admin", f"//{SHOP}"),
        (f"https://{SHOP}/administrator", f"https://{SHOP}"),
        (SHOP, f"https://{SHOP}"),
    ],
)
def test_issuer_and_destination_name_the_same_shop(iss, dest):
    """A shop's admin speaks for that shop alone."""
    refused(made(iss=iss, dest=dest))


TEXTS, TIMES = ("iss", "dest", "aud", "sub", "jti", "sid"), ("exp", "nbf", "iat")
OTHER_KINDS: tuple[Any, ...] = (None, [], {}, True, 1.5, float("nan"), float("inf"), 10**30)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *((claim, value) for claim in (*TEXTS, *TIMES) for value in OTHER_KINDS),
        *((claim, str(SECOND_NOW)) for claim in TIMES),
        *((claim, SECOND_NOW) for claim in TEXTS),
    ],
)
def test_a_claim_that_is_missing_or_of_another_kind_is_refused(claim, value):
    """Every claim is there, of its own type; a text of digits is no time, and a number no name."""
    refused(by_hand(HEADER, {name: one for name, one in claims(**{claim: value}).items() if one is not None}))


@pytest.mark.parametrize("sub", ["-1", "1.0", "0x1", "1 ", "١٢", "1" * 21, "gid://shopify/User/1", "admin"])
def test_a_person_is_a_number(sub):
    """What goes into the journal of changes is Shopify's number of a person and nothing else."""
    refused(made(sub=sub))


def test_a_token_that_lives_for_days_is_refused():
    """Shopify's live a minute: one good for a year was made by somebody else who knows the secret, or by mistake."""
    assert "longer" in refused(made(exp=SECOND_NOW + 86_400))


def test_what_is_said_twice_is_not_said():
    """Readers differ on which of two equal keys counts; so neither does."""
    twice = json.dumps(claims())[:-1] + f', "dest": "https://{SHOP}"' + "}"
    refused(by_hand(HEADER, twice.encode()))


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"null", b"\xff", b"{", b"[" * 1000, b'{"exp": ' + b"9" * 2000])
def test_a_signed_payload_that_is_no_object_is_refused(payload):
    """Our own signature on nonsense, as another of Shopify's protocols might produce, opens nothing."""
    refused(by_hand(HEADER, payload))


GOOD = made()


@pytest.mark.parametrize(
    "token",
    [
        None, "", ".", "..", "...", "a.b.c", GOOD[:-1], GOOD + "A", GOOD + "=", GOOD + ".", GOOD + "\n", " " + GOOD,
        "Bearer " + GOOD, GOOD.replace(".", ". ", 1), GOOD.rpartition(".")[0] + ".", GOOD.rpartition(".")[0], "é",
        "\udcff.\udcff.\udcff", GOOD + GOOD, f"{GOOD.rpartition('.')[0]}.{'A' * 43}", GOOD.swapcase(), "A" * 10_000_000,
        made(sid="x" * MOST_TOKEN),
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_signed_token_is_refused(token):
    """Cut, padded, glued, huge or foreign: one answer, and never another exception."""
    refused(token)


def test_each_single_change_of_a_character_is_refused():
    """Base64 has spare bits at the end of a part: a change there is a change too."""
    for place in range(len(GOOD)):
        other = "B" if GOOD[place] != "B" else "C"
        if GOOD[place] != ".":
            refused(GOOD[:place] + other + GOOD[place + 1 :])


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: by_hand(HEADER, raw)))
def test_no_text_raises_anything_but_forged(token):
    """Whoever sends rubbish gets 401, not an error of ours."""
    refused(token)


def test_a_refusal_does_not_tell_the_token():
    """The message may be logged; a token in it could be used by whoever reads the log."""
    expired = made(sid="verysecret")
    said = refused(expired, NOW + 900 * SECOND)
    assert not any(part in said for part in (*expired.split("."), "verysecret", SHOP))
