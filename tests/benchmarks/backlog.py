"""A believable backlog: signed deliveries of one shop, orders, updates, refunds and parcels mixed."""

import random
from collections.abc import Iterator

from integration.clock import SECOND
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_records import Customer

FIRST = ("Ann", "Ben", "Chloé", "Dörte", "Eve", "Finn", "Gita", "Hugo")
LAST = ("Abel", "Brandt", "Costa", "Dubois", "Evans", "Fischer", "García", "Hansen")
CATALOGUE = (("Linen shirt", 5900), ("Wool socks", 1400), ("Canvas bag", 3200), ("Mug", 1100))


class Ticking:
    """A shop's clock that moves a second with every look, from `start` (microseconds)."""

    def __init__(self, start: int) -> None:
        self.now = start

    def __call__(self) -> int:
        self.now += SECOND // 50
        return self.now


def mixed(domain: str, secret: str, start: int, events: int, seed: int = 7) -> list[Delivery]:
    """Make at least `events` deliveries: half orders and their updates, the rest parcels and refunds."""
    return list(_stream(domain, secret, start, events, seed))[:events]


def _stream(domain: str, secret: str, start: int, events: int, seed: int) -> Iterator[Delivery]:
    dice = random.Random(seed)
    shop = Shop(domain, secret=secret, clock=Ticking(start), seed=seed)
    products = [shop.stock(title, price) for title, price in CATALOGUE]
    people: list[Customer] = []
    made = 0
    while made < events:
        told: list[Delivery] = []
        if not people or dice.random() < 0.6:
            n = len(people)
            who, news = shop.welcome(dice.choice(FIRST), dice.choice(LAST), f"buyer{n}@shop.example")
            people.append(who)
            told += news
        lines = [(product, dice.randint(1, 3)) for product in dice.sample(products, dice.randint(1, 3))]
        order, news = shop.place(dice.choice(people), lines, shipping_minor=490)
        told += news
        told += shop.pay(order)
        if dice.random() < 0.6:
            told += shop.ship(order)
            if dice.random() < 0.7:
                told += shop.deliver(order)
        if dice.random() < 0.2:
            line = next(iter(order.lines))
            told += shop.refund(order, {line.id: 1})
        made += len(told)
        yield from told
