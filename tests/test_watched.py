"""The watch over what tests log sees what it is there for."""

import pytest
import structlog
from structlog.testing import capture_logs

from tests import watched


@pytest.mark.parametrize(
    "value",
    [
        "elsa@berg.example",
        ["for", "Elsa Berg"],
        {"phone": "+4915735999777"},
        "shpat_outgrabe",
        "redis://me:pass@host/0",
    ],
)
def test_what_is_private_in_a_line_is_seen(value: object) -> None:
    """As a value of its own, or deep in one; in lines that a test captures, too."""
    log = structlog.get_logger()
    log.info("told", about=value)
    assert len(watched.found()) == 1
    with capture_logs():
        log.info("told", about=value)
    assert len(watched.found()) == 1


def test_what_is_not_private_is_let_by() -> None:
    """Numbers, names of shops, and why something was refused."""
    structlog.get_logger().warning(
        "refused", merchant=7, shop="nora.myshopify.com", reason="it was signed too long ago"
    )
    assert watched.found() == []
