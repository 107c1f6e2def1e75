"""Every alarm rests on a figure that exists and leads to a section that says what to do."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from config.cli import COMMANDS
from config.metrics import Seen, _Gauges
from handlers.inbox.replay import STATES
from handlers.watch.store import Audits, Readings
from integration.meters import REGISTRY
from integration.queue import Lengths
from tests.conftest import REPOSITORY

ALERTS = REPOSITORY / "config" / "alerts.yml"
RUNBOOK = (REPOSITORY / "config" / "runbook.md").read_text()
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
NAMES = [rule["alert"] for rule in RULES]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


def told() -> dict[str, set[str]]:
    """Return every series the program can tell, with the names of its labels."""
    readings = Readings({}, 0, {}, None, {}, {}, None, 0, {}, {}, {"shop/redact": 1}, 1, (), Audits(1, 0, 1))
    seen = Seen(1, readings, Lengths(0, {"inbox": 0}))
    series: dict[str, set[str]] = {}
    for family in [*REGISTRY.collect(), *_Gauges(seen).collect()]:
        declared = REGISTRY._names_to_collectors.get(family.name)
        labels = set(getattr(declared, "_labelnames", ())) | {name for one in family.samples for name in one.labels}
        for suffix in SUFFIXES.get(family.type, ("",)):
            series[family.name + suffix] = labels | {"le"} if suffix == "_bucket" else labels
    return series


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alarm_rests_on_figures_that_are_told(rule: dict[str, Any]) -> None:
    """A metric that was renamed would make its alarm silent for ever."""
    series = told()
    used = re.findall(r"\b((?:regulars|process)_[a-z_]+)(?:\{([^}]*)\})?", rule["expr"])
    assert used
    for name, selectors in used:
        assert name in series, name
        assert set(re.findall(r"(\w+)\s*[=!]~?", selectors)) <= series[name] | {"engine"}
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        named = set().union(*(series[name] for name, _ in used))
        assert {label.strip() for label in labels.split(",")} <= named


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alarm_says_how_urgent_it_is_and_what_is_wrong(rule: dict[str, Any]) -> None:
    """A page must be worth getting up for."""
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]


def test_every_alarm_has_its_section_and_no_section_is_without() -> None:
    """Each says what it means, where to look and what to do."""
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    assert [section.partition("\n")[0] for section in sections] == NAMES
    assert [
        s.partition("\n")[0] for s in sections if not all(f"\n{word}:" in s for word in ("Means", "Look", "Do"))
    ] == []


def test_the_runbook_names_commands_and_log_lines_that_exist() -> None:
    """Nobody wants to find out at night that a command was renamed."""
    known = COMMANDS.keys()
    assert set(re.findall(r"`regulars ([a-z]+)", RUNBOOK)) - known == set()
    assert set(re.findall(r"--state ([a-z]+)", RUNBOOK)) <= set(STATES)
    source = "".join(
        path.read_text()
        for package in ("config", "handlers", "integration")
        for path in (REPOSITORY / package).rglob("*.py")
    )
    events = {
        name for line in re.findall(r"[Ll]og:?((?: `[a-z_]+`,?)+)", RUNBOOK) for name in re.findall(r"`(\w+)`", line)
    }
    assert len(events) > 8
    assert {name for name in events if f'"{name}"' not in source} == set()


def test_prometheus_takes_the_rules() -> None:
    """Its own checker, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian: apt-get install prometheus); the rules are parsed above all the same")
    subprocess.run([promtool, "check", "rules", str(ALERTS)], check=True, capture_output=True)
