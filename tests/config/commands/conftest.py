"""A desk with a migrated database of each engine behind it."""

from pathlib import Path

import pytest

from tests.config.commands.desk import Desk


@pytest.fixture
def empty_desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data_dir: Path) -> Desk:
    """A fresh machine: nothing is set up."""
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SMTP_URL", "LOG_LEVEL", "LOG_FORMAT", "PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    return Desk(monkeypatch, capsys)


@pytest.fixture
def desk(empty_desk: Desk, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Desk:
    """A machine with a migrated database, once on each engine."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return empty_desk
