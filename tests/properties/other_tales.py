"""Tales of both platforms at once, of what must change nothing, and of leaving."""

from datetime import timedelta

from tests.oracle.tellings import Delivery
from tests.properties.cases import ACCOUNT, LINKS, NOISES
from tests.properties.order_tales import dispute_course, new_order
from tests.properties.shopify_stories import Buyer, Line, PretendOrder
from tests.properties.stripe_stories import PretendPayment
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID, STRIPE_TOKEN, iso
from tests.properties.teller import Teller


def twins_story(teller: Teller) -> None:
    """An order that was paid through the shop's own Stripe account, with or without a name in common."""
    link = teller.choose("link", *LINKS, "none")
    teller.case(f"twins: {link}")
    buyer = teller.pick(Buyer(5001, "ana@home.example"), Buyer(None, "bo@home.example"))
    at = teller.moment()
    order = new_order(teller, at, buyer, test=False, tags="", source="web")
    live = PretendPayment(
        teller.tape, at - timedelta(seconds=teller.amount(1, 800)), max(1, order.paid),
        currency=teller.currency.lower(), email=buyer.email,
    )  # fmt: skip
    if link == "note":
        order.notes = {"payment": str(live.payment_id)}
    elif link == "metadata":
        live.metadata = {"shopify_order_id": str(order.id)}
    order.place()
    live.pay(told=("charge", "payment"))
    if link == "none twice":
        again = PretendPayment(
            teller.tape, at + timedelta(seconds=teller.amount(1, 800)), max(1, order.paid),
            currency=teller.currency.lower(), email=buyer.email,
        )  # fmt: skip
        again.pay(told=("charge",))
    if teller.chance():
        teller.case("twins: refund told by both")
        part = teller.amount(1, max(1, order.paid))
        order.refund(teller.after(), adjustment=-part)
        live.refund(teller.after(), part)
    if link != "none twice" and teller.chance(3):
        live.dispute(timedelta(days=3), teller.amount(1, max(1, order.paid)), dispute_course(teller))


def like_story(teller: Teller) -> None:
    """Two like purchases of one person within minutes on one platform: two sales."""
    teller.case("two like purchases")
    at, amount = teller.moment(), teller.amount(100, 9_000)
    for minute in (0, 5):
        PretendPayment(
            teller.tape, at + timedelta(minutes=minute), amount, currency=teller.currency.lower(),
            email="bo@home.example",
        ).pay(told=("charge",))  # fmt: skip


def noise(teller: Teller) -> None:
    """What must change nothing."""
    at = teller.moment()
    what = teller.choose("noise", *NOISES)
    teller.case(f"noise: {what}")
    tell = teller.tape.shopify
    if what == "shop":
        shop = {
            "id": SHOP_ID, "name": "Corner", "email": "owner@corner.example", "domain": "corner.example",
            "country_code": "US", "currency": teller.currency, "iana_timezone": "America/New_York",
            "myshopify_domain": SHOP_DOMAIN, "updated_at": iso(at), "plan_name": "basic",
        }  # fmt: skip
        tell("shop/update", shop, at)
    elif what == "scopes":
        body = {
            "id": 1, "shop_id": f"gid://shopify/Shop/{SHOP_ID}", "previous": ["read_products"],
            "current": ["read_products", "read_orders"], "updated_at": iso(at),
        }  # fmt: skip
        tell("app/scopes_update", body, at)
    elif what == "discount":
        named = {"admin_graphql_api_id": "gid://shopify/DiscountCodeNode/71"}
        changed = {"title": "Summer", "status": "ACTIVE", "created_at": iso(at), "updated_at": iso(at)}
        tell("discounts/update", {**named, **changed}, at)
        tell("discounts/delete", {**named, "deleted_at": iso(at)}, at)
    elif what == "unknown":
        tell("carts/update", {"id": "abc", "line_items": []}, at)
    elif what == "privacy":
        body = {
            "shop_id": SHOP_ID, "shop_domain": SHOP_DOMAIN, "orders_requested": [],
            "customer": {"id": 5001, "email": "ana@home.example", "phone": None},
            "data_request": {"id": 9},
        }  # fmt: skip
        tell("customers/data_request", body, at)
    elif what == "redaction":
        named = {"shop_id": SHOP_ID, "shop_domain": SHOP_DOMAIN}
        tell("shop/redact", named, at)
        nobody = {"id": 5999, "email": "nobody@home.example", "phone": None}
        tell("customers/redact", {**named, "customer": nobody, "orders_to_redact": []}, at)
    elif what == "expired session":
        payment = PretendPayment(teller.tape, at, 900, email="bo@home.example")
        session = {**payment.session("unpaid"), "status": "expired", "payment_intent": None}
        teller.tape.stripe("checkout.session.expired", session, at)
    elif what == "reward code":
        code = {"id": "promo_1", "object": "promotion_code", "code": "ANA5", "active": False, "times_redeemed": 1}
        teller.tape.stripe("promotion_code.updated", code, at)
    elif what == "plan":
        teller.tape.stripe("plan.created", {"id": "plan_1", "object": "plan", "amount": 100}, at)
    elif what == "thin":
        thin = {
            "id": f"evt_thin_{teller.tape.number(0)}", "object": "v2.core.event",
            "type": "v1.charge.refunded",
            "created": "2026-11-22T06:30:00.000Z", "livemode": True, "context": None, "reason": None,
            "related_object": {"id": "ch_unknown", "type": "charge", "url": "/v1/charges/ch_unknown"},
        }  # fmt: skip
        teller.tape.deliveries.append(Delivery("stripe", STRIPE_TOKEN, thin["type"], thin["id"], thin))
    elif what == "lonely session":
        payment = PretendPayment(teller.tape, at, 900, email="bo@home.example")
        teller.tape.stripe("checkout.session.completed", payment.session("paid"), at)
    else:
        lonely = PretendOrder(teller.tape, at, [Line(1000)], Buyer(5001, "ana@home.example"))
        refund = lonely.refund(timedelta(0), pieces={0: 1})
        teller.tape.deliveries.pop()  # the order itself never arrives
        assert refund["id"]


def leaves_story(teller: Teller) -> None:
    """The merchant disconnects a platform."""
    at, platform = teller.moment(), teller.choose("leaves", "shopify", "stripe")
    teller.case(f"left: {platform}")
    if platform == "shopify":
        shop = {
            "id": SHOP_ID, "name": "Corner", "email": "owner@corner.example", "domain": "corner.example",
            "myshopify_domain": SHOP_DOMAIN, "updated_at": None, "plan_name": "basic",
        }  # fmt: skip
        teller.tape.shopify("app/uninstalled", shop, at)
    else:
        application = {"id": "ca_regulars", "object": "application", "name": "Regulars"}
        teller.tape.stripe("account.application.deauthorized", application, at, account=ACCOUNT)
