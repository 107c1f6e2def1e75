"""A form that came after its session had ended: what was typed is given back, and goes out again by a press alone.

It is given back to a browser that says it stands on a page of ours, with a token that we once made for a form of the
same merchant: nobody else can have a page of ours say their words, or lead somebody to send them.
"""

import re
from collections.abc import Sequence

from starlette.datastructures import FormData
from starlette.responses import Response

from handlers.merchants.frame import Visit, render

FORM_FIELD = "form-token"
_OUR_OWN = re.compile("[0-9a-f]{16,}")  # digests and keys in hidden fields, which nobody typed


def signed_out(path: str, form: FormData | None) -> Response:
    """Answer a form without a session: 401, and what was typed as far as it may be given back."""
    return render("signed_out.html", status=401, path=path, fields=_fields(form), typed=_typed(form))


def made_before(visit: Visit, path: str, form: FormData) -> Response:
    """Answer a form of a session before the one of this visit: 403, and a form of this session with the same in it."""
    fields = [(name, value) for name, value in _fields(form) if name != FORM_FIELD]
    return render("unsent.html", status=403, visit=visit, path=path, fields=fields, typed=_typed(form))


def _fields(form: FormData | None) -> Sequence[tuple[str, str]]:
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)] if form is not None else []


def _typed(form: FormData | None) -> Sequence[tuple[str, str]]:
    """List what there is to read, each under the name of its field in words."""
    return [
        (name.replace("_", " ").replace(".", ", ").capitalize(), value)
        for name, value in _fields(form)
        if name != FORM_FIELD and value.strip() and not _OUR_OWN.fullmatch(value)
    ]
