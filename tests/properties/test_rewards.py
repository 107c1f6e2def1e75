"""Whatever happens in whatever order, a balance is its entries, a reward its points, and nothing is made twice."""

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from handlers.merchants.programs import change_program
from handlers.merchants.rules import Refused
from handlers.points.jobs import enrol_holders, expire_due
from handlers.privacy import jobs as privacy_jobs
from handlers.rewards import feeds, store
from handlers.rewards.kinds import discounts_off, spent
from handlers.rewards.store import Redemption
from integration.clock import SECOND
from integration.sandbox.delivery import Delivery
from integration.sandbox.shopify_records import Order
from integration.sandbox.stripe import Account, Payment
from integration.sandbox.stripe_objects import Object
from integration.sandbox.stripe_rewards import Refuses
from tests.databases import Databases
from tests.handlers.reconcile.market import Market, opened_market
from tests.handlers.rewards.counter import SCOPES, Counter
from tests.properties.conftest import EXAMPLES

ALLOWED = (*SCOPES, "write_gift_cards", "read_store_credit_accounts", "write_store_credit_account_transactions")
CATALOGUE: dict[str, dict[str, Any]] = {
    "own": {"kind": "amount_off", "value": "5", "points": 200},
    "each": {"kind": "amount_off", "value": "1", "points": 100, "incremental": True},
    "shared": {"kind": "percentage_off", "percent": "10", "points": 150, "shared": True},
    "ship": {"kind": "free_shipping", "points": 90, "per_customer": 2},
    "credit": {"kind": "store_credit", "value": "5", "points": 250, "valid_days": 30},
    "card": {"kind": "gift_card", "value": "5", "points": 300, "stock": 2},
    "walk": {"kind": "by_hand", "instructions": "Come by.", "points": 50},
    "typed": {"kind": "promotion_code", "value": "2", "points": 120, "incremental": True},
    "tenth": {"kind": "promotion_code", "percent": "10", "points": 80, "valid_days": 30},
    "bill": {"kind": "balance_credit", "value": "3", "points": 110, "incremental": True, "valid_days": 60},
}
CODES = ("own", "each", "shared", "ship")
MONEY = ("credit", "card", "bill")
TYPED = ("typed", "tenth")  # at Stripe's checkout
WAITS = ({"seconds": 3}, {"minutes": 2}, {"hours": 5}, {"days": 2}, {"days": 31}, {"days": 91})
SOME_WISHES = 4  # before somebody is forgotten, which ends most of the story
MOST_ROUNDS = 60  # until nothing is open any more, once all trouble is over
some = st.integers(0, 7)


class Spending(RuleBasedStateMachine):
    """One shop with Ana, who earns and spends, and Bo, who may turn out to be her; the platform misbehaves."""

    market: Market
    run: Callable[[Coroutine[Any, Any, Any]], Any]

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Order] = []
        self.untold: list[Delivery] = []
        self.payments: list[Payment] = []
        self.wishes = 0
        self.merged = False

    @initialize(expires=st.booleans(), returns=st.booleans())
    def opens(self, expires: bool, returns: bool) -> None:
        """Ana and Bo have bought something, and every kind of reward is offered."""
        self.counter = self.run(Counter(self.market).open())
        stall = self.counter.stall
        stall.shop.scopes = ALLOWED
        self.ana, self.bo = stall.people[0], stall.people[1]
        self.run(stall.tells(stall.sells(self.bo)[1]))
        self._opens_stripe()
        self.run(self.counter.offers(**{one: {"name": one, **offer} for one, offer in CATALOGUE.items()}))
        changed: dict[str, Any] = {"rewards.return_expired": returns}
        if expires:
            changed |= {"expiry.enabled": True, "expiry.after": "age", "expiry.months": 3}
        now = self.market.clock.now() - SECOND
        self.run(self.market.context.database.run(lambda: change_program(stall.merchant, changed, now)))

    def _opens_stripe(self) -> None:
        """The merchant has a Stripe account, too, in which both have a record."""
        stripe = self.market.stripe_api
        assert stripe is not None
        self.stripe = stripe
        stripe.account.objects.clear()
        stripe.account.events.clear()
        self.run(self.counter.knows_stripe())
        record, told = self.account.welcome("Bo Diaz", self.bo.email)
        self.records: list[Object] = [self.account.objects[self.counter.ana_at_stripe], record]
        self.run(self.counter.stall.tells(told))

    @property
    def account(self) -> Account:
        return self.stripe.account

    # --- What people do -------------------------------------------------------------------------

    @rule(points=st.integers(1, 600))
    def earns(self, points: int) -> None:
        """The merchant gives points."""
        self._allowed(self.counter.gives(points))

    @rule(reward=st.sampled_from(sorted(CATALOGUE)), steps=st.integers(1, 3), again=st.booleans(), asked=st.booleans())
    def redeems(self, reward: str, steps: int, again: bool, asked: bool) -> None:
        """Ana wants a reward; sometimes her form comes twice, sometimes a worker comes by at once."""
        self.wishes += 1
        for _ in range(1 + again):
            at_once = steps if CATALOGUE[reward].get("incremental") else 1
            self._allowed(self.counter.redeems(reward, f"wish-{self.wishes}", at_once))
        if asked:
            self.is_asked()

    @rule(reward=st.sampled_from(sorted(CATALOGUE)))
    def has(self, reward: str) -> None:
        """Ana takes a reward while nothing is amiss, and has it."""
        self.redeems(reward, 1, False, True)

    @rule(which=some)
    def gives_back(self, which: int) -> None:
        """Ana gives a reward back."""
        if found := self._one(which, state="issued"):
            self._allowed(self.counter.cancels(found))

    @rule(which=some, units=st.integers(1, 3), late=st.booleans())
    def buys_with_a_code(self, which: int, units: int, late: bool) -> None:
        """Somebody types a code; the order is told at once, or later."""
        found = self._one_to_use(which, CODES)
        if found is None or found.code is None or found.state == "asked":
            return
        self.market.passes(minutes=1)
        shop, bought = self.counter.stall.shop, [(self.counter.stall.cup, units)]
        try:
            order, told = shop.place(self.ana, bought, discount_minor=5_00, discount_code=found.code)
        except ValueError:
            return  # It does not hold at the checkout.
        self.orders.append(order)
        self._tells(told + shop.pay(order), late)

    @rule(which=some, late=st.booleans(), whole=st.booleans())
    def sends_back(self, which: int, late: bool, whole: bool) -> None:
        """Goods of an order come back, or all of it is cancelled."""
        left = [order for order in self.orders if order.cancelled_at is None and order.goods[0].current_quantity]
        if not left:
            return
        order, shop = left[which % len(left)], self.counter.stall.shop
        self.market.passes(minutes=1)
        self._tells(shop.cancel(order) if whole else shop.refund(order, {order.goods[0].id: 1}), late)

    @rule(which=some, who=st.integers(0, 1), late=st.booleans(), told=st.sampled_from(["all", "code", "session"]))
    def pays_with_a_code(self, which: int, who: int, late: bool, told: str) -> None:
        """Somebody types a promotion code; Stripe tells of the code, of the session, or of both."""
        found = self._one_to_use(which, TYPED)
        if found is None or found.code is None or found.state == "asked":
            return
        self.market.passes(minutes=1)
        person = self.account.objects[self.records[who]["id"]]
        try:
            payment, deliveries = self.account.checkout(30_00, person=person, discount=3_00, promotion_code=found.code)
        except Refuses:
            return  # It does not hold.
        self.payments.append(payment)
        left_out = {"code": "checkout.session.completed", "session": "promotion_code.updated"}.get(told)
        self._tells([each for each in deliveries if each.topic != left_out], late)

    @rule(which=some, late=st.booleans(), whole=st.booleans())
    def money_comes_back(self, which: int, late: bool, whole: bool) -> None:
        """A payment is given back, or a part of it."""
        left = [each for each in self.payments if each.charge["amount_captured"] > each.charge["amount_refunded"]]
        if left:
            payment = left[which % len(left)]
            self.market.passes(minutes=1)
            rest = payment.charge["amount_captured"] - payment.charge["amount_refunded"]
            self._tells(self.account.refund(payment, rest if whole else min(rest, 7_00))[1], late)

    @rule(who=st.integers(0, 1), amount=st.sampled_from([1_00, 3_00, 20_00]), late=st.booleans())
    def is_billed(self, who: int, amount: int, late: bool) -> None:
        """An invoice takes of the credit there is."""
        person = self.account.objects[self.records[who]["id"]]
        self._one_to_use(0, ("bill",))
        if not person.get("deleted"):
            self.market.passes(minutes=1)
            self._tells(self.account.bill(person, amount)[1], late)

    @rule(which=some, active=st.booleans(), late=st.booleans())
    def a_code_is_switched(self, which: int, active: bool, late: bool) -> None:
        """The merchant switches a promotion code off in Stripe's dashboard, or one that was off on again."""
        there = {each.code for each in self._all() if each.state == "issued"}
        codes = [each for each in self.account.rewards.all("promotion_code") if each["code"] in there]
        if codes:
            code = codes[which % len(codes)]
            self.market.passes(minutes=1)
            self._tells(self.account.switch_code(code, active=active and not code["times_redeemed"]), late)

    @rule(who=st.integers(0, 1), late=st.booleans())
    def a_record_goes(self, who: int, late: bool) -> None:
        """The merchant deletes a customer's record at Stripe."""
        person = self.account.objects[self.records[who]["id"]]
        if not person.get("deleted") and self.wishes >= SOME_WISHES:
            self.market.passes(minutes=1)
            self._tells(self.account.forget_customer(person), late)

    @rule(which=some, how=st.sampled_from(["off", "on", "gone"]), told=st.sampled_from(["now", "late", "never"]))
    def a_discount_is_changed(self, which: int, how: str, told: str) -> None:
        """The merchant switches a discount off in Shopify's admin, or one that is shared on again, or deletes it."""
        discounts = self.counter.stall.shop.discounts
        if not discounts.all:
            return
        chosen = list(discounts.all.values())[which % len(discounts.all)]
        if how == "gone":
            discounts.delete(chosen)
        else:
            chosen.is_off = how == "off" or (chosen.is_off and chosen.asked.get("usageLimit") is not None)

        topic, body = discounts.told(chosen, self.market.clock.now())
        if told != "never":
            self._tells([self.counter.stall.shop.deliver_as(topic, body)], told == "late")
        self.run(feeds.look_at_changed(self.market.context))

    @rule()
    def codes_are_looked_at(self) -> None:
        """The daily look comes by."""
        self.run(feeds.look_due(self.market.context))

    @rule()
    def money_is_looked_at(self) -> None:
        """The hourly look comes by."""
        self.market.passes(hours=1)
        self.run(spent.look_due(self.market.context))

    @rule(which=some)
    def spends_money(self, which: int) -> None:
        """Store credit or a gift card is spent, and nobody tells us."""
        purse = self.market.pretend.purse(self.counter.stall.shop)
        found = self._one_to_use(which, ("card", "credit"))
        if found is None or found.state != "issued":
            return
        try:
            if found.reward == "card":
                purse.pay_with(found.code or "", "2.00")
            elif found.reward == "credit":
                purse.spend(self.ana.id, "2.00")
        except (ValueError, LookupError, StopIteration):
            return  # There is nothing left of it.

    @rule(late=st.booleans())
    def turns_out_to_be_the_same(self, late: bool) -> None:
        """Bo's record at the shop becomes Ana's."""
        if not self.merged:
            self.merged = True
            self.market.passes(minutes=1)
            self._tells(self.counter.stall.shop.merge_customers(self.ana, self.bo), late)

    @rule()
    def is_forgotten(self) -> None:
        """Ana asks to be forgotten, once there is something to forget."""
        if self.wishes < SOME_WISHES:
            return
        privacy, now = self.market.context.privacy, self.market.clock.now()
        assert privacy is not None
        merchant, ana = self.counter.stall.merchant, self.counter.ana
        self._allowed(self.market.context.database.run(lambda: privacy.forget(merchant, ana, "link:nora", now)))
        self.run(privacy_jobs.carry_out(self.market.context))

    # --- What platforms and the clock do --------------------------------------------------------

    @rule(how=st.sampled_from(["away", "lost", "throttled", "failed"]), times=st.integers(1, 3))
    def has_trouble(self, how: str, times: int) -> None:
        """The shop is away, does things and its answers get lost, has enough of us, or cannot add codes."""
        pretend = self.market.pretend
        match how:
            case "away":
                pretend.fail_next = [503] * times
            case "lost":
                pretend.drop_next = [502] * times
            case "throttled":
                pretend.throttle_next = times
            case _:
                self.counter.stall.shop.discounts.fail_codes = ["Something went wrong"] * times

    @rule(
        how=st.sampled_from(["away", "lost", "throttled", "busy", "barred", "allowed"]),
        times=st.integers(1, 7),
    )
    def stripe_has_trouble(self, how: str, times: int) -> None:
        """Stripe is away, does things and its answers get lost, has enough of us, or the key may do too little."""
        match how:
            case "away":
                self.stripe.fail_next = [503] * times
            case "lost":
                self.stripe.drop_next = [500] * times
            case "throttled":
                self.stripe.fail_next = [429] * times
            case "busy":
                self.stripe.fail_next = [409] * times
            case "barred":
                self.stripe.permissions = {"charge_read"}
            case _:
                self.stripe.permissions = None

    @rule()
    def is_asked(self) -> None:
        """A worker comes by."""
        self.run(self.counter.asks())

    @rule(wait=st.sampled_from(WAITS))
    def time_passes(self, wait: dict[str, float]) -> None:
        """And the clock looks after what lapses."""
        self.market.passes(**wait)
        self.run(self.counter.lapses())
        self.run(enrol_holders(self.market.context))
        self.run(expire_due(self.market.context))

    @rule(seed=st.integers(0, 99))
    def tells(self, seed: int) -> None:
        """What was not told yet comes now: shuffled, some of it twice."""
        dice = random.Random(seed)
        mixed = self.untold + dice.sample(self.untold, len(self.untold) // 2)
        dice.shuffle(mixed)
        self.untold = []
        self.run(self.counter.stall.tells(mixed))

    # --- What always holds ----------------------------------------------------------------------

    @invariant()
    def is_sound(self) -> None:
        """Balances are their entries, rewards their points, and nobody has less than nothing set aside."""
        if not hasattr(self, "counter"):
            return
        self.run(self.counter.is_sound())
        rows = self.run(
            self.market.rows(
                "SELECT account, micropoints FROM accounts WHERE merchant_id = :m", m=self.counter.stall.merchant
            )
        )
        assert sum(amount for _, amount in rows) == 0
        assert all(amount >= 0 for name, amount in rows if name.endswith(":reserved") or name == "program:redeemed")

    def teardown(self) -> None:
        """All trouble is over, everything is told: nothing stays open, and the platform has what we say it has."""
        pretend = self.market.pretend
        pretend.fail_next, pretend.drop_next, pretend.throttle_next = [], [], 0
        if not hasattr(self, "counter"):
            return
        self.counter.stall.shop.discounts.fail_codes = []
        self.stripe.fail_next, self.stripe.drop_next, self.stripe.permissions = [], [], None
        self.tells(0)
        self._comes_to_rest()
        self.market.passes(days=1)
        self.codes_are_looked_at()
        self.money_is_looked_at()
        had = self._comes_to_rest()
        self.is_sound()
        self._holds(had)
        self._holds_at_stripe(had)
        if all(each.code is not None for each in had):
            self._money_is_what_is_left(had)

    def _comes_to_rest(self) -> list[Redemption]:
        for _ in range(MOST_ROUNDS):
            self.run(self.counter.asks())
            self.market.passes(hours=2)
            had = self._all()
            if all(each.state not in ("asked", "returning") and each.next_at is None for each in had):
                return had
        raise AssertionError(f"still open: {[each for each in had if each.next_at is not None]}")

    def _holds(self, had: list[Redemption]) -> None:
        shop, merchant = self.counter.stall.shop, self.counter.stall.merchant
        known = self.run(self.market.context.database.read(lambda: discounts_off.known(merchant)))
        off = {f"/{each.platform_id.rpartition('/')[2]}" for each in known}
        texts = [code.text for discount in shop.discounts.all.values() for code in discount.codes]
        assert len(texts) == len(set(texts))
        for each in had:
            found = shop.discounts.find(each.code) if each.code is not None and each.reward in CODES else None
            is_usable = found is not None and not found[0].is_off
            if each.code is None or each.reward not in CODES:
                continue
            if each.state == "issued":
                # A shared discount that is off may come on again: the merchant is told, and decides.
                is_known = found is not None and found[0].is_off and f"/{found[0].id}" in off
                assert is_usable or (is_known and each.offer.shared), each
            elif each.state != "used":
                assert not is_usable, each
        purse = self.market.pretend.purse(shop)
        # Of what went with somebody who is forgotten nobody can say whether it ever was there.
        sure = [each for each in had if each.state != "refused" and not (each.code is None and each.state == "expired")]
        made = {one: sum(each.reward == one for each in sure) for one in CATALOGUE}
        gone = sum(each.code is None and each.state == "expired" for each in had)
        moves = [move for account in purse.accounts for move in account.moves]
        given = sum(move.kind.endswith("CreditTransaction") and move.event == "ADJUSTMENT" for move in moves)
        assert made["credit"] <= given <= made["credit"] + gone
        assert made["card"] <= len(purse.cards) <= made["card"] + gone
        every = (*shop.discounts.all.values(), *shop.discounts.deleted)
        basic = [discount for discount in every if discount.kind == "DiscountCodeBasic"]
        own = sum("percentage" not in discount.asked["customerGets"]["value"] for discount in basic)
        assert made["own"] + made["each"] <= own <= made["own"] + made["each"] + gone

    def _holds_at_stripe(self, had: list[Redemption]) -> None:
        now = self.market.clock.now() // SECOND
        moves = self.account.rewards.all("customer_balance_transaction")
        for each in had:
            if each.code is None:
                continue
            if each.reward in TYPED:
                codes = [one for one in self.account.rewards.all("promotion_code") if one["code"] == each.code]
                assert len(codes) <= 1, each
                usable = [one for one in codes if one["active"] and (one["expires_at"] or now + 1) > now]
                assert each.state == "issued" or not usable, each
                assert each.state != "issued" or codes, each
            elif each.reward == "bill":
                mine = [one["metadata"] for one in moves if one["metadata"].get("regulars_reward") == each.code]
                steps = sorted(one["regulars_step"] for one in mine)
                allowed = {
                    "issued": [["given"]],
                    "used": [["given"], ["given", "taken"], ["given", "kept", "taken"]],
                    "voided": [["given", "taken"], ["given"]],
                    "expired": [["given", "taken"], ["given"], ["given", "kept", "taken"]],
                    "refused": [[], ["given"]],
                }[each.state]
                assert steps in allowed, (each, steps)
                record = self.account.objects[(each.platform_id or "").partition("/")[0] or self.records[0]["id"]]
                # What was given and neither used nor taken again went with its record.
                is_left = each.state in ("voided", "expired", "refused") and steps == ["given"]
                assert not is_left or record.get("deleted"), each

    def _money_is_what_is_left(self, had: list[Redemption]) -> None:
        """Nobody has both the money and the points: what is left is there, and what came back is not."""
        now, purse = self.market.clock.now(), self.market.pretend.purse(self.counter.stall.shop)
        there = [each for each in had if each.state == "issued" and (each.expires_at or now + 1) > now]
        credit = sum(each.left_minor for each in there if each.reward == "credit")
        assert credit == sum(account.balance(now) for account in purse.accounts) * 100, had
        for each in had:
            cards = [card for card in purse.cards if card.code == (each.code or "").lower()]
            if each.reward == "card" and each.platform_id is not None:
                assert each.left_minor == cards[0].balance * 100, each
                assert cards[0].is_on == (each.state == "issued") or not cards[0].balance, each
            if each.restored and each.reward in MONEY:
                assert each.restored == each.points * 1_000_000 * each.left_minor // each.value_minor, each
        for record in self.records:
            person = self.account.objects[record["id"]]
            given = [each for each in had if (each.platform_id or "").startswith(f"{person['id']}/")]
            left = sum(each.left_minor for each in given if each.state == "issued")
            assert person.get("deleted") or left == -person["balance"], given

    def _all(self) -> list[Redemption]:
        merchant = self.counter.stall.merchant
        found: list[Redemption] = self.run(self.market.context.database.read(lambda: store.page(merchant, 2**62, 500)))
        return found

    def _one(self, which: int, among: Collection[str] = CATALOGUE, state: str | None = None) -> Redemption | None:
        had = [each for each in self._all() if each.reward in among and state in (None, each.state)]
        return had[which % len(had)] if had else None

    def _one_to_use(self, which: int, among: Sequence[str]) -> Redemption | None:
        """Choose one of some rewards that were taken; where there is none, Ana takes one."""
        if self._one(which, among) is None:
            self.has(among[which % len(among)])
        return self._one(which, among)

    def _tells(self, told: list[Delivery], late: bool) -> None:
        if late:
            self.untold += told
        else:
            self.run(self.counter.stall.tells(told))

    def _allowed(self, act: Coroutine[Any, Any, Any]) -> None:
        """Do what may be refused: then nothing has changed, which the books say."""
        try:
            self.run(act)
        except Refused:
            return


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def market(
    request: pytest.FixtureRequest, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Market]:
    """The program and the pretend platforms on one database; every example is another shop."""
    folder: Path = tmp_path_factory.mktemp("market")
    databases: Databases = request.getfixturevalue("postgres_databases") if request.param == "postgresql" else None  # type: ignore[assignment]
    if databases is None:
        opening = opened_market(request.getfixturevalue("sqlite_database")(folder), folder)
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))
        return
    with databases.lent() as url:
        opening = opened_market(url, folder)
        yield runner.run(opening.__aenter__())
        runner.run(opening.__aexit__(None, None, None))


def test_no_order_of_things_loses_a_point_or_makes_two_of_one(market: Market, runner: asyncio.Runner) -> None:
    """Earn, redeem, give back, use, refund, lapse, merge, forget, and a platform that fails in every way."""
    spending = type("Spending", (Spending,), {"market": market, "run": staticmethod(runner.run)})
    lean = settings(settings.get_profile("ends"), max_examples=max(6, EXAMPLES // 6), stateful_step_count=30)
    run_state_machine_as_test(spending, settings=lean)  # type: ignore[no-untyped-call]
