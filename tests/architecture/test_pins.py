"""The pinned dependency files name no place, pin everything, and hold hashes for every package."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

LOCKS = ("requirements.lock", "requirements-tracing.lock", "requirements-dev.lock")


def entries(name: str) -> dict[str, str]:
    """Return package -> the rest of its entry, hashes among it."""
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    return {
        canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
        for line in text.splitlines()
        if line.strip()
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address_and_no_machine(name):
    """Whoever installs chooses the package index; an address in the file would choose for them."""
    assert re.findall(r"://|@|--index|--find-links|--trusted|file:|#|^/", (REPOSITORY / name).read_text()) == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_a_version_and_hashes(name):
    """An entry without a hash would make pip refuse the whole file, or worse, accept anything."""
    pins = entries(name)
    assert pins
    assert [
        package for package, rest in pins.items() if not re.match(r"\d\S* .*--hash=sha256:[0-9a-f]{64}", rest)
    ] == []


def test_the_locks_pin_what_the_project_asks_for():
    """A dependency added without `make lock` shows here, and so does a pin outside the range asked for."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    runtime, tracing, development = (entries(name) for name in LOCKS)
    needs, extras = project["dependencies"], project["optional-dependencies"]
    asked = [(need, runtime) for need in needs]
    asked += [(need, tracing) for need in [*needs, *extras["tracing"]]]
    asked += [(need, development) for need in [*needs, *extras["tracing"], *extras["dev"]]]
    for text, pins in asked:
        need = Requirement(text)
        version = pins.get(canonicalize_name(need.name), "nothing").split()[0]
        assert version != "nothing", f"{need.name} is not pinned: run make lock"
        assert need.specifier.contains(version), f"{need.name} {version} is not {need.specifier}: run make lock"


def test_development_runs_the_versions_that_are_released():
    """Tests prove something about production only when both run the same versions."""
    runtime, tracing, development = (entries(name) for name in LOCKS)
    for fewer, more in ((runtime, tracing), (tracing, development)):
        assert {name: rest for name, rest in more.items() if name in fewer} == fewer
