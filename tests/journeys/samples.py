"""The platforms' sample payloads that lie beside the repository, as test parameters."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, missing

SAMPLES = REPOSITORY.parent / "shared" / "payloads"


def sample(folder: str, name: str) -> Any:
    """Read one sample by the start of its file's name; skips (or fails on a build server) where there is none."""
    if not SAMPLES.is_dir():
        missing("the platforms' sample payloads in `shared/payloads` beside the repository")
    (path,) = (SAMPLES / folder).glob(f"{name}*.json")
    return json.loads(path.read_text())


def every(folder: str) -> list[Any]:
    """List all samples of a folder, named by their files; one that stands for none where there are none."""
    paths = sorted((SAMPLES / folder).glob("*.json"))
    return [pytest.param(path, id=path.stem) for path in paths] or [pytest.param(None, id="none")]


def read(path: Path | None) -> Any:
    """Read one of `every`."""
    if path is None:
        missing("the platforms' sample payloads in `shared/payloads` beside the repository")
    assert path is not None
    return json.loads(path.read_text())
