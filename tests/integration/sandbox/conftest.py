"""A tea shop and its Stripe account, with a clock that tests move by hand."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from integration.clock import SECOND
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_records import Address, Customer, Product
from integration.sandbox.stripe import Account

NOON = 1_795_000_000 * SECOND
APP_SECRET = "shpss_the_app_secret"
ENDPOINT_SECRETS = ("whsec_old_and_leaving", "whsec_new")


@dataclass
class Hands:
    """A clock that stands still until it is moved."""

    at: int = NOON

    def __call__(self) -> int:
        return self.at

    def pass_seconds(self, seconds: int) -> None:
        self.at += seconds * SECOND


@dataclass
class Tea:
    """Marlow & Finch: what they sell, and Ana who buys it."""

    shop: Shop
    hands: Hands
    earl_grey: Product
    cup: Product
    gift_card: Product
    ana: Customer


ELM_STREET = Address("Ana", "Diaz", "14 Elm Street", "Ottawa", "K2P 1L4", "Canada", "CA", "Ontario", "ON")


def open_shop(seed: int = 7, **settings: object) -> Tea:
    hands = Hands()
    shop = Shop(
        "marlow-finch.myshopify.com",
        secret=APP_SECRET,
        clock=hands,
        seed=seed,
        tax_rate=Decimal("0.10"),
        **settings,  # type: ignore[arg-type]
    )
    ana, _ = shop.welcome("Ana", "Diaz", "ana@example.com", address=ELM_STREET)
    return Tea(
        shop,
        hands,
        shop.stock("Earl Grey", 12_50),
        shop.stock("Stoneware cup", 24_00),
        shop.stock("Gift card", 50_00, gift_card=True),
        ana,
    )


@pytest.fixture
def tea() -> Tea:
    return open_shop()


@pytest.fixture
def account() -> Account:
    return Account(secrets=ENDPOINT_SECRETS, path="/webhooks/stripe/tok", clock=Hands())
