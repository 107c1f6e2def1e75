"""The cases leave no topic out."""

from hypothesis import Phase, given, settings

from config.topics import RECOVERED, TOPICS
from tests.properties.cases import CASES
from tests.properties.histories import History, planned

EXAMPLES_A_CASE = 8
# Of these Stripe tells the same in another event that the histories have.
SAME_AS_ANOTHER = {"charge.failed", "charge.updated", "charge.dispute.funds_withdrawn", "apps.install.deleted"}


def test_the_cases_tell_every_topic_that_is_read() -> None:
    """Every line of the table of topics occurs in a drawn history; thin events stand for their snapshots."""
    seen: set[str] = set()
    for case in CASES:

        @settings(settings.get_profile("ends"), max_examples=EXAMPLES_A_CASE, database=None, phases=[Phase.generate])
        @given(planned(case))
        def draw(history: History) -> None:
            seen.update(delivery.topic for delivery in history.deliveries)

        draw()
    known = {topic for topics in TOPICS.values() for topic in topics if not topic.startswith("v1.")}
    # What we fetch ourselves no platform tells.
    fetched = {topic for topics in RECOVERED.values() for topic in topics}
    assert known - seen - SAME_AS_ANOTHER - fetched == set()
