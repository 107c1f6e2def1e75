"""The environment is read once, checked, and explained when wrong."""

import os
from pathlib import Path

import pytest

from config.settings import Settings, SettingsError, hand_on_otel, load

KEY = "a-key-that-is-long-enough-for-anything"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    """An environment in which nothing is set but where files go."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def test_nothing_need_be_set(data_dir: Path) -> None:
    """A newcomer starts without a single variable."""
    settings = load()
    assert (settings.port, settings.database_url, settings.redis_url) == (8000, None, None)
    assert settings.own_url == "http://localhost:8000"
    assert settings.shopify_secrets == ()


def test_a_missing_key_is_made_once_and_kept_for_its_owner_alone(data_dir: Path) -> None:
    """Secrets sealed today must open tomorrow; nobody else on the machine may read the key."""
    keys = load().secret_keys
    assert keys == load().secret_keys and len(keys[0]) >= 32
    assert (data_dir / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["secret_key"]


def test_several_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest first; the others still open what they sealed."""
    monkeypatch.setenv("SECRET_KEY", f"{KEY}2,{KEY}1")
    assert load().secret_keys == (f"{KEY}2", f"{KEY}1")


def test_both_app_secrets_sign_during_a_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names the Shopify CLI gives them."""
    monkeypatch.setenv("SHOPIFY_API_SECRET", "present")
    monkeypatch.setenv("SHOPIFY_OLD_API_SECRET", "old")
    assert load().shopify_secrets == ("present", "old")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", f"{KEY},short"),
        ("PORT", "many"),
        ("LOG_LEVEL", "loud"),
        ("PUBLIC_URL", "shop.short.example"),
        ("SMTP_URL", "ftp://mail.short.example"),
        ("SMTP_URL", "smtp://ada:short#1@mail.example:587"),
        ("SMTP_URL", "smtp://mail.example:short"),
        ("MAIL_FROM", "short"),
        ("MAIL_FROM", "hello@shop.example\nBcc: short@shop.example"),
    ],
)
def test_what_is_wrong_is_named_but_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """One sentence for the operator; a secret never gets into it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load()
    assert "short" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "traces"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "regulars"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector.example/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "OTLP"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_the_standard_variables_say_whether_to_trace(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], traces: bool
) -> None:
    """As any program with OpenTelemetry does it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load().traces is traces


def test_what_the_file_says_of_traces_reaches_the_library_that_reads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OpenTelemetry looks at the environment alone; what is set there comes first."""
    (tmp_path / "env").write_text("OTEL_EXPORTER_OTLP_HEADERS=key=1\nOTEL_SERVICE_NAME=filed\nPORT=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / "env")
    monkeypatch.setattr(os, "environ", {"OTEL_SERVICE_NAME": "set"})
    hand_on_otel()
    assert os.environ == {"OTEL_SERVICE_NAME": "set", "OTEL_EXPORTER_OTLP_HEADERS": "key=1"}


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Platforms set what they know to an empty text."""
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("LOG_FORMAT", "JSON")
    assert load().database_url is None and load().log_format == "json"


@pytest.mark.parametrize("written", ["hello@shop.example", "Corner Shop <hello@shop.example>"])
def test_the_sender_is_the_address_alone(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    """Operators write it either way; the name that mails show is the merchant's."""
    monkeypatch.setenv("MAIL_FROM", written)
    assert load().mail_from == "hello@shop.example"
