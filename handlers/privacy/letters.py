"""What is handed to a store's owner: a person's data as one file, and a mail that it is ready."""

import csv
import io
import json
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader

from handlers.holders import Sections
from handlers.messages.kinds import Content
from handlers.messages.letters import set_letter
from handlers.messages.sending import message_name
from handlers.privacy.rules import KEEP_FILES
from handlers.privacy.store import File, Request
from integration.channels import Letter
from integration.clock import DAY, to_datetime, to_iso
from integration.spreadsheets import plain_text

TEMPLATES = Path(__file__).parent / "templates"


def bundle(one: Request, shop_name: str, sections: Sections, now: int) -> File:
    """Put what is kept of a person into one file: JSON for programs, CSV for spreadsheets, a page to read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        told = {"request": one.id, "shop": shop_name, "made_at": to_iso(now), **sections}
        archive.writestr("data.json", json.dumps(told, ensure_ascii=False, indent=1))
        made_on = to_datetime(now).strftime("%Y-%m-%d")
        page = _page().render(shop_name=shop_name, made_at=made_on, request=one.id, sections=sections)
        archive.writestr("index.html", page)
        for heading, rows in sections.items():
            if rows:
                archive.writestr(f"{heading}.csv", _spreadsheet(rows))
    return File(f"personal-data-{one.id}.zip", out.getvalue())


def _spreadsheet(rows: list[dict[str, Any]]) -> str:
    """Write rows as CSV that no spreadsheet takes for anything but text and numbers."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return plain_text(value) if isinstance(value, str) else value


def ready(one: Request, shop_name: str, address: str, sender: str | None, public_url: str) -> Letter:
    """Write the mail to the owner: that a file is ready, where, and until when; nothing of whom it is about."""
    days = KEEP_FILES // DAY
    due = to_datetime(one.due_at).strftime("%d %B %Y")
    content = Content(
        subject=f"Request {one.id}: a person's data is ready for you",
        body="What your shop keeps about a customer was asked for.\n\n"
        f"The file is ready: request {one.id} at {public_url.rstrip('/')}/app/requests leads to the customer's page,"
        " where you download it. (In the shop admin: Regulars, Customers, Privacy requests.)"
        " It holds personal data: look through it, then hand it to the customer in a safe way, by "
        f"{due} at the latest.\n\nWe delete the file after {days} days.",
    )
    words = set_letter(content, shop_name=shop_name, language="en", unsubscribe_url=None)
    host = urlsplit(public_url).hostname or "localhost"
    return Letter(
        sender=sender or f"no-reply@{host}",
        sender_name="Regulars",
        recipient=address,
        subject=words.subject,
        text=words.text,
        html=words.html,
        message_id=f"{message_name(one.merchant_id, f'privacy:{one.id}')}@{host}",
    )


@lru_cache(maxsize=1)
def _page() -> Any:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True).get_template("export.html")
