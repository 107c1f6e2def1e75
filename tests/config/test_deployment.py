"""What is shipped beside the code agrees with it: variables, deployment files, and the installed package."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from config.settings import Settings
from config.topics import TOPICS
from tests.conftest import REPOSITORY

VARIABLES = {name.upper() for name in Settings.model_fields}
# What lies in the packages for the image's builder and for readers of the source.
NOT_SHIPPED = {".md", ".yml", ".sh", ".dockerignore", ""}


def test_the_example_environment_names_every_variable_and_no_other():
    """An operator finds every setting in .env.example, and none that nobody reads."""
    named = re.findall(r"^([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(VARIABLES)


def test_the_readme_lists_every_variable():
    """The table in the README is complete."""
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"[A-Z_]+", row)} == VARIABLES


def test_the_readme_subscribes_to_topics_somebody_reads():
    """A topic in the instructions that no reader knows would be delivered for nothing (Shopify's: shopify.app.toml)."""
    text = (REPOSITORY / "README.md").read_text()
    stripe = set(
        re.findall(r"`((?:charge|refund|payment_intent|checkout|invoice|invoice_payment|customer)\.[a-z_.]+)`", text)
    )
    assert len(stripe) > 15
    assert stripe - set(TOPICS["stripe"]) == set()


@pytest.mark.parametrize("name", ["fly.toml", "fly.scale.toml"])
def test_a_deployment_runs_commands_and_asks_addresses_that_exist(name):
    """A renamed command, page or port must not be found out by a failed deployment."""
    from config.cli import COMMANDS
    from config.routes import ROUTES

    settings = tomllib.loads((REPOSITORY / name).read_text())
    known = COMMANDS.keys()
    deploy = settings.get("deploy", {})
    lines = [*settings["processes"].values(), *([deploy["release_command"]] if "release_command" in deploy else [])]
    assert [line for line in lines if not line.startswith("regulars ") or line.split()[1] not in known] == []
    assert set(settings["env"]) <= VARIABLES
    assert str(settings["http_service"]["internal_port"]) == settings["env"]["PORT"]
    assert (REPOSITORY / settings["build"]["dockerfile"]).is_file()
    pages = {getattr(route, "path", "") for route in ROUTES}
    assert {check["path"] for check in settings["http_service"]["checks"]} <= pages


def test_an_installed_package_brings_everything_it_reads(tmp_path):
    """Templates, documents and revisions are read at run time, so the wheel must hold them."""
    source = tmp_path / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for package in ("integration", "handlers", "config"):
        shutil.copytree(REPOSITORY / package, source / package, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / file, source)
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    [wheel] = tmp_path.glob("regulars-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        shipped = set(archive.namelist())
    there = {
        str(path.relative_to(REPOSITORY))
        for package in ("integration", "handlers", "config")
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and Path(path.name).suffix not in NOT_SHIPPED
    }
    assert there - shipped == set()
