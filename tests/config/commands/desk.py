"""The command line as somebody at a desk uses it: words in, text and an exit code out."""

import json
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
import structlog

from config.cli import main


class Answer(NamedTuple):
    """What a command wrote and how it ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """What it wrote as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """What it wrote as one JSON document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Desk:
    """Runs commands in this process, each on a loop of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str) -> Answer:
        """Run `regulars` with these words."""
        self._monkeypatch.setattr(sys, "argv", ["regulars", *words])
        self._capsys.readouterr()
        handlers = logging.getLogger().handlers
        with ThreadPoolExecutor(1) as thread:
            code = thread.submit(_exit_code).result()
        # What logs from here on must not write to this test's stderr, which ends with it.
        structlog.reset_defaults()
        logging.getLogger().handlers = handlers
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)

    def all(self, commands: Sequence[Sequence[str]]) -> None:
        """Run commands that have to succeed."""
        for words in commands:
            answer = self(*words)
            assert answer.code == 0, (words, answer.err)


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
