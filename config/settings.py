"""The only reader of the environment: what an operator may set, checked once and explained when wrong."""

import os
import re
import secrets
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, validate_email
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

SHORTEST_SECRET_KEY = 32
KEY_FILE = "secret_key"

_ROOT = Path(__file__).resolve().parent.parent
_CHECKOUT = (_ROOT / "pyproject.toml").is_file()


class SettingsError(Exception):
    """The environment says something we cannot work with; the message is one sentence for an operator."""


def _default_data_dir() -> Path:
    """Keep data beside a source checkout, else in the user's own place, wherever we are called from."""
    return _ROOT / "data" if _CHECKOUT else Path.home() / ".local" / "share" / "regulars"


class Settings(BaseSettings):
    """The environment, by the names of the contract (upper case), and `.env` beside the source."""

    model_config = SettingsConfigDict(
        env_file=_ROOT / ".env" if _CHECKOUT else None, extra="ignore", env_ignore_empty=True, frozen=True
    )

    database_url: str | None = None
    database_connections: int | None = Field(default=None, ge=2, le=1_000)
    redis_url: str | None = None
    data_dir: Path = Field(default_factory=_default_data_dir)
    host: str = "0.0.0.0"  # noqa: S104 - a web server is there to be reached
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = ""
    secret_key: str = ""
    shopify_api_key: str | None = None
    shopify_api_secret: str | None = None
    shopify_old_api_secret: str | None = None
    smtp_url: str | None = None
    mail_from: str | None = None
    mail_spf: str | None = None
    mail_dkim_selector: str | None = None
    metrics_token: str | None = None
    client_address_header: str | None = None
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    # The others of OpenTelemetry's variables are read by its own library.
    otel_sdk_disabled: bool = False
    otel_traces_exporter: Literal["otlp", "none"] | None = None
    otel_exporter_otlp_endpoint: str | None = None
    otel_exporter_otlp_traces_endpoint: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] | None = None  # None: console on a terminal, else JSON

    @field_validator("log_level", "log_format", "otel_traces_exporter", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and any(len(key) < SHORTEST_SECRET_KEY for key in value.split(",")):
            raise ValueError(f"each key needs {SHORTEST_SECRET_KEY} characters or more")
        return value

    @field_validator("public_url")
    @classmethod
    def _on_the_web(cls, value: str) -> str:
        if value and not _is_address(value, "http", "https"):
            raise ValueError("it must look like https://regulars.example")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _of_a_mail_server(cls, value: str | None) -> str | None:
        if value and not _is_address(value, "smtp", "smtps"):
            raise ValueError("it must look like smtp://user:password@host:587, with what is special in it %-encoded")
        return value

    @field_validator("mail_from")
    @classmethod
    def _of_a_mailbox(cls, value: str | None) -> str | None:
        """Keep the address alone: the name that mails show is the merchant's."""
        if not value:
            return value
        try:
            # Checked here, for a wrong sender would make every mail fail for good.
            return validate_email(value)[1]
        except ValueError:
            raise ValueError("it must be a mail address, such as hello@shop.example") from None

    @field_validator("mail_spf")
    @classmethod
    def _of_spf(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"(?:include:|a:|mx:|ip4:|ip6:)\S+(?: (?:include:|a:|mx:|ip4:|ip6:)\S+)*", value):
            raise ValueError("it must be a part of an SPF record, such as include:_spf.mail.example")
        return value

    @field_validator("mail_dkim_selector")
    @classmethod
    def _of_dkim(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"[A-Za-z0-9._-]{1,63}(?:,[A-Za-z0-9._-]{1,63}){0,9}", value):
            raise ValueError("it must be a selector such as mail, several with commas between")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def shopify_secrets(self) -> tuple[str, ...]:
        """The app's present and old secret, as far as set; both sign during a rotation."""
        return tuple(s for s in (self.shopify_api_secret, self.shopify_old_api_secret) if s)

    @property
    def dkim_selectors(self) -> tuple[str, ...]:
        """Under which names the keys are published that the mail server signs with; empty = nobody said."""
        return tuple(self.mail_dkim_selector.split(",")) if self.mail_dkim_selector else ()

    @property
    def traces(self) -> bool:
        """Whether traces are asked for: by a place to send them to, or by the exporter's name alone."""
        if self.otel_sdk_disabled or self.otel_traces_exporter == "none":
            return False
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return bool(self.otel_traces_exporter or endpoint)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys that encrypt and sign, the newest first; one of our own making where none is set."""
        return tuple((self.secret_key or _kept_key(self.data_dir)).split(","))

    @property
    def own_url(self) -> str:
        """Where the world reaches us, without a slash at the end."""
        return (self.public_url or f"http://localhost:{self.port}").rstrip("/")


def load() -> Settings:
    """Read the environment; raises SettingsError naming the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{str(problem['loc'][0]).upper() if problem['loc'] else 'environment'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(f"The environment is not usable: {problems}.") from None


def hand_on_otel() -> None:
    """Put what `.env` says of OTEL_* into the environment, where OpenTelemetry's own library looks for it."""
    for name, value in DotEnvSettingsSource(Settings).env_vars.items():
        if name.lower().startswith("otel_") and value:
            os.environ.setdefault(name.upper(), value)


def _is_address(value: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port or a host in brackets that is none
        return False


def _kept_key(data_dir: Path) -> str:
    """Read the key kept in `data_dir`, making it the first time; only its owner may read it."""
    path = data_dir / KEY_FILE
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written under another name first, so that a second process never reads half a key.
        draft = path.with_name(f"{KEY_FILE}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # Another process was first; its key is the one.
        finally:
            draft.unlink()
    key = path.read_text().strip()
    if len(key) < SHORTEST_SECRET_KEY:
        raise SettingsError(f"The key kept in {path} is shorter than {SHORTEST_SECRET_KEY} characters.")
    return key
