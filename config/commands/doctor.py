"""`regulars doctor`: everything the program stands on, looked at once, in plain words."""

import typer

from config import doctor as looking
from config import settings
from config.commands import Json, execute, show
from handlers.context import Context
from handlers.watch.rules import Finding
from integration.errors import Unavailable


def doctor(as_json: Json = False) -> None:
    """Look at settings, engines, credentials and work; say what is wrong and what to do; exit 1 when broken."""
    loaded = settings.load()

    async def look(context: Context) -> list[Finding]:
        return [finding async for finding in looking.of_engines(context, loaded)]

    findings = [*looking.of_settings(loaded), looking.of_disk(loaded)]
    try:
        findings += execute(look)
    except Unavailable as error:
        findings.append(looking.unreachable(loaded, error))
    broken = [finding for finding in findings if finding.state == "broken"]
    show(_report(findings), as_json, _lines(findings))
    if broken:
        raise typer.Exit(1)


def _report(findings: list[Finding]) -> dict[str, object]:
    by_state = {
        state: {
            finding.name: f"{finding.words} {finding.todo}".strip() for finding in findings if finding.state == state
        }
        for state in ("broken", "warning")
    }
    return {
        "well": not by_state["broken"],
        "problems": by_state["broken"],
        "advice": by_state["warning"],
        "checks": [finding._asdict() for finding in findings],
    }


def _lines(findings: list[Finding]) -> list[str]:
    lines = []
    for finding in sorted(findings, key=lambda one: ("ok", "warning", "broken").index(one.state)):
        lines.append(f"{finding.state:8} {finding.name}: {finding.words}")
        if finding.todo and finding.state != "ok":
            lines.append(f"         {'→'} {finding.todo}")
    broken = sum(finding.state == "broken" for finding in findings)
    warned = sum(finding.state == "warning" for finding in findings)
    if broken or warned:
        return [*lines, f"{broken} broken, {warned} to look at."]
    return [*lines, "All is well."]
