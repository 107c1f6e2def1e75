"""How customers' own pages look, as the merchant writes it: a colour and a logo."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from handlers.merchants.fields import Section
from integration.colour import read_colour

# Pages allow pictures from this one place: whoever has a shop has files there, and it scales them to what is shown.
LOGO = re.compile(
    r"https://cdn\.shopify\.com/s/files/(?:[A-Za-z0-9_~%-][A-Za-z0-9._~%-]{0,200}/){1,10}"
    r"[A-Za-z0-9_~%-][A-Za-z0-9._~%-]{0,200}\.(?:png|jpe?g|webp|gif|svg)(?:\?v=[0-9]{1,20})?",
    re.ASCII,
)
MOST_LOGO = 500  # characters of its address


def _colour(value: str) -> str:
    """Accept a colour as #aabbcc, or nothing."""
    colour = read_colour(value)
    if colour is None and value.strip():
        raise ValueError("write a colour as six digits and letters, such as #1f5c46")
    return colour or ""


def _logo(value: str) -> str:
    """Accept the address of a picture among a shop's files at Shopify, or nothing."""
    value = value.strip()
    if value and not LOGO.fullmatch(value):
        raise ValueError("copy the link of a picture from Content, Files in your Shopify admin")
    return value


class OwnPage(Section):
    """How customers' own pages look; what is empty looks as ours."""

    colour: Annotated[str, Field(max_length=20), AfterValidator(_colour)] = ""
    logo: Annotated[str, Field(max_length=MOST_LOGO), AfterValidator(_logo)] = ""
