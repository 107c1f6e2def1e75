"""A long history as a bulk operation writes it: orders one by one, with children, refunds, guests and tests."""

import random
from pathlib import Path

from integration.clock import DAY, SECOND, to_datetime

SOLD_EVERY = 90 * SECOND  # a million orders are some three years
CHUNK = 2_000

_HEAD = (
    '{{"id":"gid://shopify/Order/{id}","name":"#{n}","currencyCode":"USD","createdAt":"{at}","updatedAt":"{changed}",'
    '"processedAt":"{at}","cancelledAt":{cancelled},"displayFinancialStatus":"{status}",'
    '"displayFulfillmentStatus":"FULFILLED","test":{test},"taxesIncluded":false,"email":"buyer{who}@shop.example",'
    '"phone":null,"customerLocale":"en","sourceName":"web","tags":["spring","returning"],'
    '"statusPageUrl":"https://bench.myshopify.com/62187499831/orders/{id}/authenticate?key=5d1f","customAttributes":[],'
    '"totalPriceSet":{{"shopMoney":{{"amount":"{total}"}}}},"totalTipReceivedSet":{{"shopMoney":{{"amount":"0.0"}}}},'
    '"totalRefundedSet":{{"shopMoney":{{"amount":"{refunded}"}}}},'
    '"totalRefundedShippingSet":{{"shopMoney":{{"amount":"0.0"}}}},'
    '"refundDiscrepancySet":{{"shopMoney":{{"amount":"0.0"}}}},'
    '"shippingAddress":{{"countryCodeV2":"US","provinceCode":"NY","firstName":"Ana","lastName":"Diaz"}},'
    '"billingAddress":{{"countryCodeV2":"US","provinceCode":"NY","firstName":"Ana","lastName":"Diaz"}},'
    '"customer":{{"id":"gid://shopify/Customer/{who}","firstName":"Ana","lastName":"Diaz","verifiedEmail":true,'
    '"defaultEmailAddress":{{"emailAddress":"buyer{who}@shop.example"}},"defaultPhoneNumber":null,'
    '"defaultAddress":{{"countryCodeV2":"US","provinceCode":"NY"}}}},"refunds":[{refund}],'
    '"fulfillments":[{{"id":"gid://shopify/Fulfillment/{id}","status":"SUCCESS","displayStatus":"DELIVERED",'
    '"createdAt":"{at}","updatedAt":"{at}","deliveredAt":"{at}"}}]}}\n'
)
_LINE = (
    '{{"id":"gid://shopify/LineItem/{line}","title":"High Mountain Oolong","quantity":{quantity},'
    '"currentQuantity":{current},"isGiftCard":false,"requiresShipping":true,"product":{{"id":"gid://shopify/Product/7"}},'
    '"variant":{{"id":"gid://shopify/ProductVariant/8"}},"originalUnitPriceSet":{{"shopMoney":{{"amount":"{price}.0"}}}},'
    '"totalDiscountSet":{{"shopMoney":{{"amount":"0.0"}}}},"discountAllocations":[],'
    '"taxLines":[],"__parentId":"gid://shopify/Order/{id}"}}\n'
)
_SHIPPING = (
    '{{"id":"gid://shopify/ShippingLine/{id}","isRemoved":false,"originalPriceSet":{{"shopMoney":{{"amount":"4.9"}}}},'
    '"discountedPriceSet":{{"shopMoney":{{"amount":"4.9"}}}},"taxLines":[],"__parentId":"gid://shopify/Order/{id}"}}\n'
)


def write(path: Path, orders: int, now: int, seed: int = 1) -> int:
    """Write a history that ends yesterday, a few orders at a time; returns the whole units of money that earn."""
    dice, earning = random.Random(seed), 0
    with path.open("w") as file:
        for start in range(0, orders, CHUNK):
            lines: list[str] = []
            for n in range(start, min(orders, start + CHUNK)):
                earning += _order(lines, n, now - DAY - (orders - n) * SOLD_EVERY, dice)
            # Children come anywhere behind or before their order.
            dice.shuffle(lines)
            file.writelines(lines)
    return earning


def _order(lines: list[str], n: int, sold_at: int, dice: random.Random) -> int:
    """Write one order; returns what of it earns. Half of the buyers come again."""
    number, who = 5_000_000_000 + n, dice.randrange(n // 2 + 1) + 1
    fate = dice.random()
    is_test, is_cancelled, is_returned = fate < 0.01, 0.01 <= fate < 0.03, 0.03 <= fate < 0.06
    basket = [(dice.randint(5, 90), dice.randint(1, 3)) for _ in range(dice.randint(1, 3))]
    price, _ = basket[0]
    total = sum(price * quantity for price, quantity in basket)
    at = f"{to_datetime(sold_at):%Y-%m-%dT%H:%M:%SZ}"
    lines.append(
        _HEAD.format(
            id=number, n=n, at=at, changed=f"{to_datetime(sold_at + DAY // 2):%Y-%m-%dT%H:%M:%SZ}",
            cancelled=f'"{at}"' if is_cancelled else "null", test=str(is_test).lower(), who=who, total=f"{total}.0",
            status="PARTIALLY_REFUNDED" if is_returned else "PAID", refunded=f"{price}.0" if is_returned else "0.0",
            refund=f'{{"id":"gid://shopify/Refund/{number}","createdAt":"{at}"}}' if is_returned else "",
        )
    )  # fmt: skip
    for place, (each, many) in enumerate(basket):
        current = many - 1 if is_returned and place == 0 else many
        lines.append(_LINE.format(line=number * 10 + place, quantity=many, current=current, price=each, id=number))
    lines.append(_SHIPPING.format(id=number))
    if is_test or is_cancelled:
        return 0
    return total - (price if is_returned else 0)
