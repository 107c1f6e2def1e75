"""The rules of the house hold in the code, and each rule catches the mistake it is there for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import checks
from tests.conftest import REPOSITORY

# Files of the spine, and of what stands behind all capabilities, that are named after their one duty
# (config/decisions/0008-file-names.md).
# fmt: off
DUTIES = {
    "inbox": {"claim", "endpoints", "idle", "keys", "look", "origin", "prune", "record", "replay", "work"},
    "merchants": {
        "addresses", "asking", "assets", "books", "collections", "connections", "door", "fields", "frame", "install",
        "journal", "look", "naming", "oauth", "offers", "programs", "referring", "sessions", "stripe_accounts",
        "tiering", "told", "typed", "unsent", "ways", "wording",
    },
    "customers": {"consent", "correct", "identify", "persons", "rounds"},
    "sales": {"apply", "bonus", "books", "goods", "history", "pairs", "returns", "worth"},
    "messages": {
        "desk", "editor", "falls", "holding", "kinds", "lastlook", "letters", "looks", "outbox", "people", "permission",
        "restored", "sending", "stopping", "trials", "undelivered", "upcoming", "words", "zones",
    },
    "points": {"adjust", "audit", "expiry", "forecast", "lots", "posting", "purses", "seal", "standing", "statement"},
    "privacy": {"gate", "kept", "leaving"},
}
# fmt: on


def outside_the_vocabulary(root: Path) -> list[str]:
    """Apply the vocabulary with the duties of the spine."""
    return checks.names_outside_the_vocabulary(root, DUTIES)


# The rule, and a file that breaks it.
RULES: list[tuple[Callable[[Path], list[str]], str, str]] = [
    (checks.upward_imports, "integration/mail.py", "from handlers.sales import store"),
    (checks.upward_imports, "handlers/thanks/jobs.py", "import config.settings"),
    (checks.upward_imports, "config/wiring.py", "from tests import mailbox"),
    (checks.sideways_imports, "handlers/sales/settle.py", "from handlers.points import ledger"),
    (checks.sideways_imports, "handlers/thanks/settle.py", "from ..reviews import store"),
    (checks.sideways_imports, "handlers/inbox/jobs.py", "import handlers.merchants.store"),
    (checks.impure_rules, "handlers/points/rules.py", "from datetime import datetime\nNOW = datetime.now()"),
    (checks.impure_rules, "handlers/points/rules.py", "from integration.clock import Clock"),
    (checks.impure_rules, "handlers/points/rules.py", "import sqlalchemy as sa"),
    (checks.impure_rules, "handlers/points/rules.py", "from integration.database.engine import Database"),
    (checks.impure_rules, "handlers/points/rules.py", "async def wait(): ..."),
    (outside_the_vocabulary, "handlers/points/engine.py", ""),
    (outside_the_vocabulary, "handlers/thanks/sending.py", ""),
    (checks.vague_names, "integration/utils.py", ""),
    (checks.vague_names, "handlers/sales/store.py", "class SaleManager: ..."),
    (checks.long_files, "tests/test_all.py", "\n" * 501),
    (checks.files_without_purpose, "config/new.py", "import os"),
    (checks.functions_without_docstring, "config/new.py", "def settle(): ..."),
    (checks.functions_without_docstring, "config/new.py", "class Shop:\n    async def open(self): ..."),
    (checks.tests_without_docstring, "tests/test_new.py", "async def test_a_thing(): ..."),
    (checks.readers_of_the_environment, "config/new.py", "import os\nos.environ['PORT']"),
    (checks.readers_of_the_environment, "config/new.py", "import os\nos.getenv('PORT')"),
    (checks.undeclared_imports, "config/new.py", "from hypothesis import given"),
]


@pytest.mark.parametrize("rule", sorted({rule for rule, _, _ in RULES}, key=lambda rule: rule.__name__))
def test_the_code_keeps_the_rule(rule):
    """No file of the repository breaks the rule."""
    complaints = rule(REPOSITORY)
    assert not complaints, "\n".join(["", *complaints])


@pytest.mark.parametrize(("rule", "path", "text"), RULES)
def test_the_rule_sees_a_file_that_breaks_it(rule, path, text, tmp_path):
    """A rule that cannot complain protects nothing."""
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert len(rule(tmp_path)) == 1


def test_the_rules_leave_good_code_alone(tmp_path):
    """What a capability is allowed to do raises no complaint."""
    good = tmp_path / "handlers" / "thanks" / "settle.py"
    good.parent.mkdir(parents=True)
    good.write_text(
        '"""Thanks."""\n'
        "import asyncio\n"
        "import msgspec\n"
        "from handlers.context import Context\n"
        "from handlers.messages import store\n"
        "from handlers.thanks.rules import due\n"
        "from integration.clock import DAY\n"
        'def settle():\n    """Settle."""\n'
    )
    assert [complaint for rule, _, _ in RULES for complaint in rule(tmp_path)] == []


def test_every_duty_in_the_list_has_its_file():
    """A name that is no longer used would let a file in that nobody decided about."""
    there = {folder: {path.stem for path in (REPOSITORY / "handlers" / folder).glob("*.py")} for folder in DUTIES}
    assert {folder: names - there[folder] for folder, names in DUTIES.items()} == {folder: set() for folder in DUTIES}
    assert set(DUTIES) == {*checks.SPINE, *checks.LAST}
