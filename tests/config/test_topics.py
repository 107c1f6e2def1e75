"""Every topic has a reader that reads a real body of it."""

import json
import re
from pathlib import Path

import pytest

from config.topics import RECOVERED, SHOPIFY, STRIPE, TOPICS
from integration.facts import Envelope
from integration.stripe.listing import TYPES
from integration.stripe.webhooks import envelope
from tests.conftest import REPOSITORY, missing
from tests.integration.shopify.bodies import SAMPLES as SHOPIFY_SAMPLES
from tests.integration.stripe.bodies import SAMPLES as STRIPE_SAMPLES

ANSWERED_ORDER = {
    "id": "gid://shopify/Order/1001",
    "updatedAt": "2026-11-01T10:00:00Z",
    "currencyCode": "USD",
    "lineItems": {"pageInfo": {"hasNextPage": False}, "nodes": []},
}
RECOVERED_SAMPLES = {
    "orders/recovered": {"recovered": {"pages": [ANSWERED_ORDER], "refunds": []}},
    "disputes/recovered": SHOPIFY_SAMPLES["disputes/create"],
    "charge.recovered": {**STRIPE_SAMPLES["charge.succeeded"], "type": "charge.recovered"},
    "refund.recovered": {**STRIPE_SAMPLES["refund.created"], "type": "refund.recovered"},
    "dispute.recovered": {**STRIPE_SAMPLES["charge.dispute.created"], "type": "dispute.recovered"},
}

PAYLOADS = REPOSITORY.parent / "shared" / "payloads"


def published(folder: str) -> list[object]:
    """Return the published bodies of a folder, or one test that says what is missing."""
    found = sorted((PAYLOADS / folder).glob("*.json"))
    return [pytest.param(path, id=path.stem) for path in found] or [pytest.param(None, id="missing")]


def present(path: Path | None) -> Path:
    if path is None:
        missing("the published payloads in `shared` beside the repository")
    assert path is not None
    return path


@pytest.mark.parametrize("topic", sorted(SHOPIFY))
def test_every_shopify_topic_reads_a_sample(topic: str) -> None:
    """A line in the table without a sample fails here."""
    body = json.dumps(SHOPIFY_SAMPLES[topic]).encode()
    reading = SHOPIFY[topic](body, Envelope("shopify", topic, "d", 7, 8, "digest"))
    assert reading.facts


@pytest.mark.parametrize("topic", sorted(STRIPE))
def test_every_stripe_type_reads_a_sample(topic: str) -> None:
    """A line in the table without a sample fails here; thin events of what cannot be looked at tell nothing."""
    body = json.dumps(STRIPE_SAMPLES[topic]).encode()
    reading = STRIPE[topic](body, envelope(body, 8)[0])
    silent = {"promotion_code", "invoice_payment"}
    pointed_at = STRIPE_SAMPLES[topic].get("related_object", {}).get("type")
    if pointed_at not in silent:
        assert reading.facts


def test_samples_are_of_topics_that_are_read() -> None:
    """A sample nobody reads proves nothing."""
    assert set(SHOPIFY_SAMPLES) == set(SHOPIFY)
    assert set(STRIPE_SAMPLES) == set(STRIPE)


def test_what_an_endpoint_is_told_to_send_is_read() -> None:
    """Whole and thin; at most twenty, so that one question can ask for them all."""
    assert len(TYPES) <= 20
    for type in TYPES:
        assert type in STRIPE
        assert f"v1.{type}" in STRIPE


def test_the_readme_names_what_is_listed() -> None:
    """What an endpoint is subscribed to and what is asked for again are the same types."""
    readme = (REPOSITORY / "README.md").read_text()
    told = readme[readme.index("with these events:") : readme.index("Run the command of step 1 again")]
    assert set(re.findall(r"`([a-z_.]+)`", told)) == set(TYPES)


def test_both_platforms_are_in_one_table() -> None:
    """It is what the worker looks into: what platforms tell, and what we fetched."""
    assert TOPICS["shopify"] == {**SHOPIFY, **RECOVERED["shopify"]}
    assert TOPICS["stripe"] == {**STRIPE, **RECOVERED["stripe"]}


@pytest.mark.parametrize("platform", sorted(RECOVERED))
def test_what_we_fetch_is_filed_under_no_platforms_topic(platform: str) -> None:
    """And reads: what goes wrong with it is our own mistake."""
    sent = {"shopify": SHOPIFY, "stripe": STRIPE}[platform]
    assert not set(RECOVERED[platform]) & set(sent)
    for topic, reader in RECOVERED[platform].items():
        body = json.dumps(RECOVERED_SAMPLES[topic]).encode()
        assert reader(body, Envelope(platform, topic, "d", 7, 8, "digest")).facts


@pytest.mark.parametrize("path", published("shopify"))
def test_shopifys_published_bodies_read_under_their_topic(path: Path | None) -> None:
    """Or have no reader, and are kept as unhandled."""
    body = present(path).read_bytes()
    topic = present(path).stem.replace("__", "/")
    reader = SHOPIFY.get(topic)
    if reader is not None:
        reader(body, Envelope("shopify", topic, "d", 7, 8, "digest"))


@pytest.mark.parametrize("path", published("stripe_events") + published("stripe_events_old_api"))
def test_stripes_published_events_read_under_their_type(path: Path | None) -> None:
    """Of present and older API versions, thin ones too."""
    body = present(path).read_bytes()
    filed, livemode = envelope(body, 8)
    assert filed.topic == json.loads(body)["type"]
    assert livemode == json.loads(body)["livemode"]
    reader = STRIPE.get(filed.topic)
    if reader is not None:
        reader(body, filed)
