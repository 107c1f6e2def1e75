"""Makes the choices of a history: who lives in it, what kind of shop it is, when things happen."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.oracle.tellings import Programme, Shop
from tests.properties.cases import (
    BUYERS,
    CAMPAIGNS,
    CURRENCIES,
    LIVES,
    MOST_STEPS,
    RATES,
    Plan,
)
from tests.properties.shopify_stories import Account, Buyer, merge_body
from tests.properties.stripe_stories import customer
from tests.properties.tape import SHOP_DOMAIN, SHOP_ID, START, STRIPE_TOKEN, Tape, iso, micros


class Teller:
    """Draws one history: who lives in it, what they buy, and what becomes of it.

    A plan names choices that are made for it: `{"step": ["cancel", "reopen"]}` makes the first two steps of an
    order. With a plan the shop is an ordinary one, so that what is planned has an effect.
    """

    def __init__(self, draw: Any, plan: Plan | None = None) -> None:
        self.draw = draw
        self.plan = {name: list(choices) for name, choices in (plan or {}).items()}
        self.planned = plan is not None
        self.tape = Tape(ticks=self.draw(st.integers(1, 4)) > 1)
        self.currency = "USD" if self.planned else draw(st.sampled_from(CURRENCIES))

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def choose(self, name: str, *choices: Any) -> Any:
        """Make a choice that a plan may have made already."""
        return self.plan[name].pop(0) if self.plan.get(name) else self.pick(*choices)

    def steps(self, name: str) -> int:
        """How many steps a story takes: those planned, and perhaps one more."""
        return len(self.plan.get(name, ())) + self.amount(0, 1 if self.planned else MOST_STEPS)

    def amount(self, least: int = 1, most: int = 30_000) -> int:
        return int(self.draw(st.integers(least, most)))

    def chance(self, one_in: int = 2) -> bool:
        return int(self.draw(st.integers(1, one_in))) == 1

    def case(self, name: str) -> None:
        self.tape.offered.add(name)

    def moment(self) -> datetime:
        """A whole second in the eighty days after the start."""
        return START + timedelta(seconds=int(self.draw(st.integers(0, 80 * 24 * 3600))))

    def after(self) -> timedelta:
        """How long until the next step; sometimes within the same second."""
        return timedelta(seconds=self.pick(0, 1, 60, 3600, 86_400, 5 * 86_400))

    def shopper(self) -> Buyer:
        """Somebody who buys at the shop: the same few people again and again."""
        kind = self.choose("buyer", *BUYERS)
        self.case(f"buyer: {kind}")
        if kind == "account":
            return Buyer(5001, "ana@home.example")
        if kind == "guest":
            return Buyer(None, self.pick("bo@home.example", "ana@home.example", "later@home.example"))
        if kind == "household":
            return Buyer(self.pick(5002, 5003, None), "family@home.example")
        if kind == "merged":
            return self.pick(Buyer(5005, "eve.old@home.example"), Buyer(5004, "eve@home.example"))
        if kind == "moved":
            return self.pick(Buyer(5007, "gus.old@home.example"), Buyer(5007, "gus@home.example"))
        if kind == "unverified":
            return Buyer(5008, "bo@home.example", verified=False)
        return Buyer(None, None)

    def payer(self) -> tuple[str | None, str | None]:
        """Somebody who pays through Stripe: (customer id, address)."""
        payer: tuple[str | None, str | None] = self.pick(
            (None, "ana@home.example"),
            ("cus_ana", "ana@home.example"),
            (None, "bo@home.example"),
            ("cus_bo", "bo@home.example"),
            ("cus_cleo", "cleo@home.example"),
            ("cus_cleo", "cleo.new@home.example"),
            (None, "family@home.example"),
            (None, "later@home.example"),
            (None, None),
        )
        self.case("payer: " + ("nobody" if payer == (None, None) else "customer" if payer[0] else "guest"))
        return payer

    def lives(self) -> None:
        """What happens to the people themselves."""
        at = self.moment()
        what = self.choose("life", *LIVES)
        self.case(f"person: {what}")
        tell = self.tape.shopify
        if what == "account":
            tell("customers/create", Account(5006, "later@home.example").body(at), at)
            tell("customers/enable", Account(5006, "later@home.example").body(at), at)
            if self.chance():
                tell("customers/disable", Account(5006, "later@home.example").body(at), at)
        elif what == "merge":
            tell("customers/merge", merge_body(5004, 5005), at)
            if self.chance():
                self.case("person: merged twice")
                tell("customers/merge", merge_body(5009, 5004), at + timedelta(days=1))
        elif what == "failed merge":
            tell("customers/merge", merge_body(5001, 5007, status="failed"), at)
        elif what == "moves":
            tell("customers/create", Account(5007, "gus.old@home.example").body(at), at)
            tell("customers/update", Account(5007, "gus@home.example").body(at), at + timedelta(days=2))
        elif what == "stripe":
            self.tape.stripe("customer.created", customer("cus_bo", "Bo@Home.example ", at), at)
        elif what == "stripe moves":
            self.tape.stripe(
                "customer.updated", customer("cus_cleo", "cleo.new@home.example", at), at,
                previous={"email": "cleo@home.example"},
            )  # fmt: skip
        elif what == "leaves":
            tell("customers/delete", {"id": 5001, "tax_exemptions": []}, at)
            self.tape.stripe("customer.deleted", customer("cus_bo", "bo@home.example", at), at)
        else:
            consent = {"state": "subscribed", "opt_in_level": "single_opt_in", "consent_updated_at": iso(at)}
            tell(
                "customers_email_marketing_consent/update",
                {
                    "customer_id": 5001, "email_address": "ana@home.example",
                    "email_marketing_consent": consent,
                },
                at,
            )  # fmt: skip
            tell(
                "customers_marketing_consent/update",
                {"id": 5001, "phone": "+15550001111", "sms_marketing_consent": consent}, at,
            )  # fmt: skip

    def campaigns(self) -> dict[str, Any]:
        """One or two campaigns, mostly while people buy; of an ordinary shop none but what is planned."""
        what = self.choose("campaign", *(["none"] if self.planned else ["none", "none", "none", *CAMPAIGNS]))
        if what == "none":
            return {}
        self.case(f"campaign: {what}")
        found = {"best": self.campaign(what), "also": self.campaign("double")}
        return found if what == "two at once" else {"best": found["best"]}

    def campaign(self, what: str) -> dict[str, Any]:
        """A campaign of one kind that begins and ends on a day, at an hour by the shop's clocks, or at an instant."""
        # Hours that the clocks of New York show once, whatever the day.
        first, length = ((-20, -20, 25), (60, 150)) if self.planned else ((-20, -20, 3, 25, 61), (1, 20, 50, 150))
        begin = START.replace(hour=self.pick(4, 12, 23)) + timedelta(days=self.pick(*first))
        end = begin + timedelta(days=self.pick(*length))
        shown = self.pick("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%SZ")
        campaign: dict[str, Any] = {
            "name": "More for everybody",
            "starts": begin.strftime(shown),
            "ends": end.strftime(shown),
            "multiplier": self.pick("2", "1.5", "1.333333"),
        }
        if what == "extra":
            campaign |= {"multiplier": self.pick("1", "2"), "extra_per_unit": self.pick("0.1", "0.333333", "5")}
        elif what in ("product", "two at once"):
            campaign["products"] = [self.pick("9001", "9002")]
            if what == "two at once":
                # More or less than the one for all goods.
                campaign["multiplier"] = self.pick("3", "1.1")
        elif what == "tag":
            campaign["tags"] = ["VIP", "friend"]
        elif what == "channel":
            campaign["channels"] = self.pick(["pos", "web"], ["pos"])
        return campaign

    def shop(self) -> Shop:
        """The shop and one to three versions of its programme."""
        versions = []
        begin = START - timedelta(days=5 if self.planned else self.pick(-10, 5, 5, 5))
        for position in range(1 if self.planned else self.pick(1, 1, 2, 3)):
            earning = {
                "enabled": self.planned or not self.chance(8),
                "points_per_unit": self.pick(*RATES),
                "hold_days": self.pick(0, 14, 30, 90),
                "include_tax": self.chance(4),
                "include_shipping": self.chance(4),
                "rates": {self.pick("EUR", "CHF"): "1.08", "JPY": "0.0067", "ISK": "0.007"},
            }
            earning["rates"].pop(self.currency, None)
            earning["exclude_tags"] = [] if self.planned else self.pick([], [], ["Staff"])
            earning["exclude_channels"] = [] if self.planned else self.pick([], [], [], ["pos"])
            earning["exclude_products"] = [] if self.planned else self.pick([], [], [], ["9002"])
            for name in ("exclude_tags", "exclude_channels", "exclude_products"):
                if earning[name]:
                    self.case(f"programme: {name}")
            earning["campaigns"] = self.campaigns()
            document = {
                "earning": earning,
                "thanks": {
                    "enabled": not self.chance(6),
                    "when": self.choose("when", "every", "milestones"),
                    "delay_minutes": self.pick(0, 60, 1440),
                },
                "reviews": {"enabled": not self.chance(6), "days_after_delivery": self.pick(10, 5)},
                "messages": {"window": "always", "cap_hours": 0, "cap_fortnight": 0},
            }
            versions.append(Programme(micros(begin + position * timedelta(days=20)), document))
        self.case(f"programme: {len(versions)} versions")
        home = self.pick("US", None)
        return Shop(
            "Corner", self.currency, SHOP_DOMAIN, STRIPE_TOKEN, tuple(versions), SHOP_ID, "America/New_York", home
        )
