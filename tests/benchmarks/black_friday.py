"""A day of Black Friday for a fleet of shops, drawn by a seed: who orders when, and every webhook that causes."""

import heapq
import math
import random
from collections.abc import Iterator
from itertools import count
from statistics import NormalDist
from typing import NamedTuple

from integration.clock import HOUR, SECOND
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify import Shop
from integration.sandbox.shopify_records import Customer, Order, Product
from tests.benchmarks.backlog import CATALOGUE, FIRST, LAST
from tests.benchmarks.scale import SECRET

SHOPS = 1_000
SPREAD = 1.5  # of the logarithms of the shops' sizes: the largest of a thousand is some 100 times the median
# Orders by hour of the day, as shares of the busiest: midnight's early birds, a long day, and doors opening at eight.
CURVE = (16, 9, 5, 3, 3, 4, 7, 11, 16, 20, 21, 21, 20, 18, 17, 17, 18, 20, 25, 42, 100, 44, 22, 12)
NEW_BUYER = 0.6
SHIPPED, SHIPPED_AFTER = 0.35, (1.0, 6.0)  # share of a day's orders that leave the same day, and after how many hours
ARRIVED, ARRIVED_AFTER = 0.1, (1.0, 4.0)  # of those: couriers within a city
REFUNDED, REFUNDED_AFTER = 0.05, (0.3, 5.0)
CANCELLED, CANCELLED_AFTER = 0.02, (0.05, 1.0)
TWICE, TWICE_AFTER = 0.01, (0.01, 0.2)  # delivered again, as platforms do that did not see our answer
LONGEST_AFTER = 24 * HOUR


class Sent(NamedTuple):
    """One delivery, and when in the day it is sent (microseconds since midnight)."""

    at: int
    shop: int
    delivery: Delivery


def domain(shop: int) -> str:
    """Name a shop of the fleet."""
    return f"shop-{shop}.myshopify.com"


def shares() -> list[float]:
    """Return each shop's share of all orders: log-normal, the largest first."""
    normal = NormalDist(sigma=SPREAD)
    sizes = [math.exp(normal.inv_cdf(1 - (n + 0.5) / SHOPS)) for n in range(SHOPS)]
    return [size / sum(sizes) for size in sizes]


def day(orders: int, midnight: int, seed: int = 1) -> Iterator[Sent]:
    """Draw a day that begins at an instant (microseconds): its deliveries in the order in which they are sent."""
    dice = random.Random(seed)
    streets = [_Street(n, midnight, seed) for n in range(SHOPS)]
    numbers = count()
    # What is to happen, the earliest first; the number keeps those of one moment in order.
    ahead: list[tuple[int, int, _Street, str, Order | Delivery | None]] = []
    buying = dice.choices(streets, shares(), k=orders)
    for street in buying:
        hour = dice.choices(range(len(CURVE)), CURVE)[0]
        ahead.append((int((hour + dice.random()) * HOUR), next(numbers), street, "buy", None))
    heapq.heapify(ahead)
    while ahead:
        at, _, street, what, about = heapq.heappop(ahead)
        if at >= LONGEST_AFTER:
            return
        if isinstance(about, Delivery):
            yield Sent(at, street.number, about)
            continue
        street.now = midnight + at
        order, told = street.happen(dice, what, about)
        for delivery in told:
            yield Sent(at, street.number, delivery)
            if dice.random() < TWICE:
                heapq.heappush(ahead, (_later(dice, at, TWICE_AFTER), next(numbers), street, "again", delivery))
        for then, chance, after in _FOLLOWS.get(what, ()):
            if dice.random() < chance:
                heapq.heappush(ahead, (_later(dice, at, after), next(numbers), street, then, order))


_FOLLOWS = {
    "buy": (
        ("cancel", CANCELLED, CANCELLED_AFTER),
        ("ship", SHIPPED, SHIPPED_AFTER),
        ("refund", REFUNDED, REFUNDED_AFTER),
    ),
    "ship": (("arrive", ARRIVED, ARRIVED_AFTER),),
}


def _later(dice: random.Random, at: int, hours: tuple[float, float]) -> int:
    return at + int(dice.uniform(*hours) * HOUR)


class _Street:
    """One shop with its buyers, and its clock."""

    def __init__(self, number: int, midnight: int, seed: int) -> None:
        self.number = number
        self.now = midnight
        self._shop = Shop(domain(number), secret=SECRET, clock=self._tick, seed=seed * SHOPS + number)
        self._products: list[Product] = [self._shop.stock(title, price) for title, price in CATALOGUE]
        self._people: list[Customer] = []

    def _tick(self) -> int:
        self.now += SECOND // 50
        return self.now

    def happen(self, dice: random.Random, what: str, order: Order | None) -> tuple[Order, list[Delivery]]:
        """Have somebody buy, or something happen to an order; returns the order and what the shop tells."""
        if order is None:
            return self._buy(dice)
        if order.cancelled_at is not None:
            return order, []
        if what == "ship":
            return order, self._shop.ship(order)
        if what == "arrive":
            return order, self._shop.deliver(order)
        if what == "cancel":
            return order, self._shop.cancel(order)
        return order, self._shop.refund(order, {next(iter(order.lines)).id: 1})

    def _buy(self, dice: random.Random) -> tuple[Order, list[Delivery]]:
        told: list[Delivery] = []
        if not self._people or dice.random() < NEW_BUYER:
            address = f"buyer{len(self._people)}@{domain(self.number)}.example"
            who, told = self._shop.welcome(dice.choice(FIRST), dice.choice(LAST), address)
            self._people.append(who)
        lines = [(product, dice.randint(1, 3)) for product in dice.sample(self._products, dice.randint(1, 3))]
        order, placed = self._shop.place(dice.choice(self._people), lines, shipping_minor=490)
        return order, told + placed + self._shop.pay(order)
