"""Forms as a browser would send them: what stands in the fields of a page."""

from html.parser import HTMLParser


def fields_of(page: str, action: str) -> dict[str, str]:
    """Return the fields of the form that is posted to `action`, the one with the most where there are several.

    A button that sends it elsewhere (`formaction`) counts; its own field is left to who presses it. Raises LookupError
    where there is no such form.
    """
    found = [fields for to, fields in forms_of(page) if to.partition("?")[0] == action.partition("?")[0]]
    if not found:
        raise LookupError(f"there is no form that is posted to {action}")
    return max(found, key=len)


def forms_of(page: str) -> list[tuple[str, dict[str, str]]]:
    """Return each form of a page that is posted: where to, and its fields."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms


class _Reader(HTMLParser):
    """Collects each form that is posted, with its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self._fields: dict[str, str] | None = None
        self._select, self._area = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a form or of a field in one."""
        known = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = {} if known.get("method", "").lower() == "post" else None
            if self._fields is not None:
                self.forms.append((known.get("action", ""), self._fields))
        elif self._fields is not None and "formaction" in known:
            self.forms.append((known["formaction"], self._fields))
        elif self._fields is not None:
            self._field(tag, known, self._fields)

    def _field(self, tag: str, known: dict[str, str], fields: dict[str, str]) -> None:
        name = known.get("name", "")
        if tag == "option" and self._select and ("selected" in known or self._select not in fields):
            fields[self._select] = known.get("value", "")
        elif tag == "select":
            self._select = name
        elif tag == "textarea" and name:
            self._area, fields[name] = name, ""
        elif tag == "input" and name and _is_sent(known):
            fields[name] = known.get("value", "on" if known.get("type") == "checkbox" else "")

    def handle_data(self, data: str) -> None:
        """Take what a text area holds."""
        if self._area and self._fields is not None:
            self._fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        """Close what ends here."""
        if tag == "form":
            self._fields = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._area = ""


def _is_sent(known: dict[str, str]) -> bool:
    kind = known.get("type")
    return kind not in ("file", "submit", "button") and (kind not in ("checkbox", "radio") or "checked" in known)
