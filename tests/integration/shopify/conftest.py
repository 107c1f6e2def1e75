"""What Shopify's tests share: the Admin API's published schema."""

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest


@pytest.fixture(scope="session")
def admin_schema(shared: Path) -> dict[str, Any]:
    """Return the introspection of the Admin API version we pin."""
    answer = msgspec.json.decode(gzip.decompress((shared / "schema/admin_2026-10.json.gz").read_bytes()))
    found: dict[str, Any] = answer.get("data", answer)
    return found
