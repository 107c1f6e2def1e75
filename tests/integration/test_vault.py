"""Secrets open only where they belong; links hold only for what they were made."""

import pytest

from integration.vault import MOST_TOKEN, Unsealable, Vault

OLD = "an-old-secret-of-more-than-thirty-two-characters"
NEW = "a-new-secret-of-more-than-thirty-two-characters!"
PLACE = {"table": "connections", "merchant": 7, "column": "token"}


def test_a_sealed_secret_opens_in_its_place() -> None:
    """What went in comes out, and the sealed text shows nothing of it."""
    vault = Vault([NEW])
    sealed = vault.seal("rk_live_Günther", **PLACE)
    assert "rk_live" not in sealed
    assert vault.open(sealed, **PLACE) == "rk_live_Günther"
    assert vault.seal("rk_live_Günther", **PLACE) != sealed


@pytest.mark.parametrize("elsewhere", [{"merchant": 8}, {"column": "secrets"}, {"table": "merchants"}])
def test_a_secret_moved_to_another_place_does_not_open(elsewhere: dict[str, object]) -> None:
    """A ciphertext swapped between shops, columns or tables is refused in words."""
    vault = Vault([NEW])
    sealed = vault.seal("whsec_hats", **PLACE)
    with pytest.raises(Unsealable, match="belongs somewhere else"):
        vault.open(sealed, **{**PLACE, **elsewhere})


@pytest.mark.parametrize(
    "spoil", [lambda s: s[:-2] + ("AA" if s[-2:] != "AA" else "BB"), lambda s: s[:40], lambda s: s + "é"]
)
def test_a_changed_secret_does_not_open(spoil) -> None:
    """One changed, lost or foreign character is enough."""
    vault = Vault([NEW])
    with pytest.raises(Unsealable):
        vault.open(spoil(vault.seal("whsec_hats", **PLACE)), **PLACE)


@pytest.mark.parametrize("text", ["", "whsec_in_the_open", "v1.", "v2.abc.def"])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    """A secret stored in the open by mistake is an error, not a secret."""
    with pytest.raises(Unsealable, match="does not hold a sealed secret"):
        Vault([NEW]).open(text, **PLACE)


def test_after_rotation_old_secrets_open_and_new_ones_use_the_new_key() -> None:
    """The first key seals; the others still open until they are dropped."""
    sealed = Vault([OLD]).seal("whsec_hats", **PLACE)
    rotated = Vault([NEW, OLD])
    assert rotated.open(sealed, **PLACE) == "whsec_hats"
    assert not rotated.is_current(sealed)
    resealed = rotated.seal("whsec_hats", **PLACE)
    assert rotated.is_current(resealed)
    assert Vault([NEW]).open(resealed, **PLACE) == "whsec_hats"


def test_a_dropped_key_is_named_as_the_reason() -> None:
    """An operator who dropped a key too early learns what is missing."""
    sealed = Vault([OLD]).seal("whsec_hats", **PLACE)
    with pytest.raises(Unsealable, match="SECRET_KEY no longer lists"):
        Vault([NEW]).open(sealed, **PLACE)


def test_a_link_gives_its_parts_back() -> None:
    """Parts come back as texts, whatever is in them, and the token needs no escaping in a URL."""
    vault = Vault([NEW])
    token = vault.sign("review", 7, 91, 'naïve, "quoted" & spaced')
    assert vault.check("review", token) == ("7", "91", 'naïve, "quoted" & spaced')
    assert all(c.isalnum() or c in "-_." for c in token)


def test_a_link_for_one_purpose_is_worth_nothing_for_another() -> None:
    """Who may review may not for that reason unsubscribe."""
    vault = Vault([NEW])
    assert vault.check("unsubscribe", vault.sign("review", 7, 91)) is None


def test_parts_do_not_run_into_each_other() -> None:
    """(1, 23) and (12, 3) are different links."""
    vault = Vault([NEW])
    assert vault.sign("review", 1, 23) != vault.sign("review", 12, 3)
    assert vault.check("review", vault.sign("review")) == ()


def test_any_changed_character_spoils_a_link() -> None:
    """Every position counts, those of the signature too."""
    vault = Vault([NEW])
    token = vault.sign("review", 7, 91)
    for place, character in enumerate(token):
        other = "A" if character != "A" else "B"
        assert vault.check("review", token[:place] + other + token[place + 1 :]) is None


@pytest.mark.parametrize("token", ["", ".", "..", "é", "a.b", "W10.", "x" * (MOST_TOKEN + 1)])
def test_rubbish_is_no_link(token: str) -> None:
    """Whatever stands in the URL is answered with None, never with an error."""
    assert Vault([NEW]).check("review", token) is None


def test_links_of_an_older_key_still_hold() -> None:
    """A mail sent before the rotation still works, until its key is dropped."""
    token = Vault([OLD]).sign("review", 7)
    assert Vault([NEW, OLD]).check("review", token) == ("7",)
    assert Vault([NEW]).check("review", token) is None


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, ""], [NEW] * 17])
def test_weak_or_missing_keys_are_refused(keys: list[str]) -> None:
    """A vault without a real secret would only look safe."""
    with pytest.raises(ValueError, match="SECRET_KEY"):
        Vault(keys)
