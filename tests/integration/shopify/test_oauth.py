"""What a browser brings back from Shopify: believed as a whole or not at all, as Shopify's own package signs it."""

from urllib.parse import parse_qsl

import pytest
import shopify

from integration.clock import SECOND
from integration.errors import Forged
from integration.shopify.oauth import Brought, authorize_query, read_callback
from integration.shopify.scopes import REQUIRED

SECRET, OLD_SECRET = "shpss_now", "shpss_before"
NOW = 1_795_000_000 * SECOND
SENT = {
    "code": "0907a61c0c8d55e99db179b68161bc00",
    "host": "YWRtaW4uc2hvcGlmeS5jb20vc3RvcmUvaGF0cw",
    "shop": "hats.myshopify.com",
    "state": "0.6784241404160823",
    "timestamp": str(NOW // SECOND),
}


def signed(parameters: dict[str, str], secret: str = SECRET) -> list[tuple[str, str]]:
    """Sign parameters with Shopify's own package."""

    class Session(shopify.Session):  # type: ignore[misc]  # its secret is the class's
        pass

    Session.secret = secret
    return [*parameters.items(), ("hmac", Session.calculate_hmac(parameters))]


def refused(parameters: list[tuple[str, str]], now: int = NOW) -> None:
    with pytest.raises(Forged):
        read_callback(parameters, [SECRET, OLD_SECRET], now)


def test_what_shopifys_package_signs_is_believed() -> None:
    """By the present secret and, while it rolls over, by the old one."""
    brought = Brought("hats.myshopify.com", SENT["code"], SENT["state"], NOW)
    for secret in (SECRET, OLD_SECRET):
        assert read_callback(signed(SENT, secret), [SECRET, OLD_SECRET], NOW) == brought
    with pytest.raises(Forged):
        read_callback(signed(SENT, OLD_SECRET), [SECRET], NOW)


def test_what_could_pass_for_two_parameters_is_escaped() -> None:
    """A value with `&` and `=` in it is signed as one value."""
    odd = SENT | {"state": "a&shop=evil.myshopify.com", "x%=&": "100%"}
    assert read_callback(signed(odd), [SECRET], NOW).state == "a&shop=evil.myshopify.com"
    moved = [(n, "a" if n == "state" else v) for n, v in signed(SENT | {"state": "a&x=b"})] + [("x", "b")]
    refused(moved)


@pytest.mark.parametrize("name", SENT)
def test_nothing_may_be_changed_or_left_out(name: str) -> None:
    """Each parameter is under the signature, and each is needed."""
    whole = signed(SENT)
    refused([(n, v + "x" if n == name else v) for n, v in whole])
    refused([(n, v) for n, v in whole if n != name])
    if name != "host":
        refused(signed({n: v for n, v in SENT.items() if n != name}))


def test_nothing_may_be_added_or_said_twice() -> None:
    """Whichever of two a reader takes, the other was signed."""
    refused([*signed(SENT), ("extra", "1")])
    refused([*signed(SENT), ("shop", "evil.myshopify.com")])
    refused([("shop", "evil.myshopify.com"), *signed(SENT)])
    refused([*signed(SENT), signed(SENT)[-1]])
    refused(signed(SENT | {f"p{n}": "" for n in range(40)}))
    refused(signed(SENT | {"state": "s" * 3_000}))


@pytest.mark.parametrize("told", ["", "0" * 64, "é" * 64, "A" * 64, "0" * 63, "\udcff" * 64])
def test_another_signature_is_none(told: str) -> None:
    """Missing, short, foreign or shouting: refused without another exception."""
    refused([*SENT.items(), ("hmac", told)])
    refused(list(SENT.items()))


def test_a_blank_secret_signs_nothing() -> None:
    """A setting left empty must not accept what anybody can sign."""
    with pytest.raises(Forged):
        read_callback(signed(SENT, " "), ["", " "], NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"shop": "hats.myshopify.com.evil.example"}, {"shop": "evil.example/hats.myshopify.com"}, {"shop": "hats"},
        {"shop": "hats.myshopify.com\r\nX: y"}, {"shop": "Hats.myshopify.com"}, {"code": "a b"}, {"code": "a/../b"},
        {"code": ""}, {"state": ""}, {"timestamp": "soon"}, {"timestamp": "1.5"}, {"timestamp": "-1"},
        {"timestamp": "9" * 30}, {"timestamp": "١٢٣"},
    ],
)  # fmt: skip
def test_a_signed_parameter_of_another_shape_is_refused(changed: dict[str, str]) -> None:
    """Other things of Shopify's are signed with the same secret; their shapes are not these."""
    refused(signed(SENT | changed))


def test_what_was_signed_long_ago_is_refused() -> None:
    """A minute and a half on either side, for clocks and the way."""
    assert read_callback(signed(SENT), [SECRET], NOW + 90 * SECOND)
    refused(signed(SENT), NOW + 91 * SECOND)
    refused(signed(SENT), NOW - 91 * SECOND)


def test_the_page_of_consent_is_asked_for_all_we_need() -> None:
    """Our client id, every required scope, and the one address to come back to."""
    asked = dict(parse_qsl(authorize_query("the-key", "https://regulars.example/app/install/back", "s&t")))
    assert asked == {
        "client_id": "the-key",
        "scope": ",".join(REQUIRED),
        "redirect_uri": "https://regulars.example/app/install/back",
        "state": "s&t",
    }
