"""What the platforms' official npm packages sign verifies here; `sign.cjs` made the vectors and makes them again."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from integration.shopify import webhooks as shopify
from integration.stripe import webhooks as stripe

HERE = Path(__file__).parent
MADE: dict[str, Any] = json.loads((HERE / "vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", MADE["vectors"], ids=range(len(MADE["vectors"])))
def test_what_the_npm_packages_sign_verifies(vector: dict[str, str]) -> None:
    """The bytes as Node sends them; one byte more, and it is another body."""
    body, secrets, at = vector["body"].encode(), MADE["secrets"], MADE["at"]
    assert shopify.verify(body, vector["shopify"], [secrets["shopify"]])
    assert stripe.verify(body, vector["stripe"], [secrets["stripe"]], at)
    assert not shopify.verify(body + b" ", vector["shopify"], [secrets["shopify"]])
    assert not stripe.verify(body + b" ", vector["stripe"], [secrets["stripe"]], at)


def test_the_packages_sign_today_as_they_did() -> None:
    """Where they are installed, by Node itself; the vectors beside it are what they signed when written."""
    if shutil.which("node") is None or not os.environ.get("NODE_PATH"):
        pytest.skip("needs Node, and NODE_PATH with the packages sign.cjs names")
    script = str(HERE / "sign.cjs")
    answer = subprocess.run(["node", script], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["vectors"] == MADE["vectors"]
