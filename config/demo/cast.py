"""The demo's believable shop: what Marlow & Finch sell, who buys there, and what happened in the last weeks."""

from dataclasses import dataclass
from decimal import Decimal

from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_records import Address, Customer, Product

SHOP_NAME = "Marlow & Finch"
SHOP_DOMAIN = "marlow-and-finch.myshopify.com"
SHOP_EMAIL = "robin@marlow-and-finch.example"
CURRENCY = "USD"
TIMEZONE = "America/New_York"
COUNTRY = "US"
TAX_RATE = Decimal("0.08")
SHIPPING_MINOR = 5_00

# Everything that pays or mails is off in a new programme; this is what a merchant would switch on. The window
# is always open and thanks go out at once only so that nobody has to wait in front of a demo.
PROGRAM: dict[str, object] = {
    "earning.enabled": True,
    "earning.points_per_unit": 3,
    "earning.hold_days": 30,
    "thanks.enabled": True,
    "thanks.when": "every",
    "thanks.delay_minutes": 0,
    "reviews.enabled": True,
    "reviews.days_after_delivery": 10,
    # Things that are handed over: a code of this shop would lead to an address that is not on this machine.
    "rewards.enabled": True,
    "rewards.catalogue": {
        "tin": {
            "name": "A tin of Earl Grey",
            "kind": "by_hand",
            "points": 90,
            "instructions": "Show this code in the shop, and choose a tin from the shelf.",
        },
        "tasting": {
            "name": "A tasting for two",
            "kind": "by_hand",
            "points": 150,
            "instructions": "Come by on any Saturday and show this code at the counter.",
        },
    },
    "messages.window": "always",
    "messages.from_address": "hello@marlow-and-finch.example",
    "messages.from_name": SHOP_NAME,
}

PRODUCTS = (
    ("First Flush Darjeeling", 18_00, "100 g of the spring harvest"),
    ("Stoneware cup", 32_00, "thrown by hand, holds 0.3 l"),
    ("Earl Grey Blue Flower", 12_50, "100 g, with bergamot oil"),
    ("Bamboo whisk", 14_00, "for matcha"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One person of the cast, and how many days ago they bought which products (by position)."""

    first_name: str
    last_name: str
    email: str
    locale: str
    address: Address
    bought: tuple[tuple[int, tuple[int, ...]], ...] = ()
    consents: bool = True


def _home(first: str, last: str, street: str, city: str, code: str, country: tuple[str, str]) -> Address:
    return Address(first, last, street, city, code, *country)


NEWCOMER = Part(
    "Ana",
    "Diaz",
    "ana@diaz.example",
    "en",
    Address("Ana", "Diaz", "14 Elm Street", "Portland", "97205", "United States", "US", "Oregon", "OR"),
)

CAST = (
    NEWCOMER,
    Part(
        "Léa",
        "Moreau",
        "lea@moreau.example",
        "fr",
        _home("Léa", "Moreau", "3 rue des Lilas", "Lyon", "69002", ("France", "FR")),
        ((40, (0, 2)), (12, (1,))),
    ),
    Part(
        "Jonas",
        "Weber",
        "jonas@weber.example",
        "de",
        _home("Jonas", "Weber", "Gartenweg 8", "Bremen", "28203", ("Germany", "DE")),
        ((38, (3,)),),
    ),
    Part(
        "Sofía",
        "Romero",
        "sofia@romero.example",
        "es",
        _home("Sofía", "Romero", "Calle del Pez 21", "Madrid", "28004", ("Spain", "ES")),
        ((5, (0, 3)),),
    ),
)

HISTORY_DAYS = 45  # before now, when the programme was switched on


def stock(shop: Shop) -> list[Product]:
    """Put everything on sale; the positions are those of PRODUCTS."""
    return [shop.stock(title, price) for title, price, _ in PRODUCTS]


def welcome(shop: Shop, part: Part) -> Customer:
    """Open a person's record, without telling anyone: the app is not installed yet."""
    customer, _ = shop.welcome(part.first_name, part.last_name, part.email, locale=part.locale, address=part.address)
    return customer
