"""What reviews add to a person's timeline: the stars and words they gave."""

from collections.abc import Sequence

from handlers.customers.timeline import SELF, Badge, Bound, Item, Whose
from integration.database.steps import Steps, ask, plain

_KEY = "CAST(r.sale AS text) || ':' || r.line"
_REVIEWS_SQL = (
    f"SELECT {_KEY}, r.written_at, r.product_title, r.stars, r.words, r.sale, r.published_at FROM reviews r"
    f" WHERE r.merchant_id = ?1 AND r.customer IN ({SELF}) AND (+r.written_at, ({_KEY}){{c}}) < (?3, ?4)"
    f" ORDER BY +r.written_at DESC, ({_KEY}){{c}} DESC LIMIT ?5"
)
_REVIEWS = plain(_REVIEWS_SQL.format(c=""), postgres=_REVIEWS_SQL.format(c=' COLLATE "C"'))


class Given:
    """The source `reviews`."""

    name = "reviews"

    def items(self, whose: Whose, before: Bound, limit: int) -> Steps[Sequence[Item]]:
        """List reviews by when they were written."""
        rows = yield from ask(_REVIEWS, (whose.shop.id, whose.number, before.at, before.key, limit))
        return [
            Item(
                at=at,
                key=key,
                what="review",
                title=f"{stars} of 5 stars for {title or 'the purchase'}",
                badge=Badge("Published", "success") if published_at is not None else Badge("Not published"),
                details=(words,) if words else (),
                sale=sale,
            )
            for key, at, title, stars, words, sale, published_at in rows
        ]
