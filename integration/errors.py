"""What the outside can do to us, as four names that say what to do about it."""


class OutsideError(Exception):
    """Something beyond our network failed; the message is one sentence for an operator."""


class Unavailable(OutsideError):
    """Try again later; `retry_after` is in seconds where the other side named it."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Rejected(OutsideError):
    """It will never succeed as asked; do not try again."""


class Forged(OutsideError):
    """The signature is missing, wrong or outdated: answer 401 and keep nothing."""


class Revoked(OutsideError):
    """The merchant took our access away: stop calling until it is given back."""


class Unreadable(Exception):
    """A verified body that cannot be read: kept raw and dead-lettered, since a retry cannot help."""


class Suspect(Exception):
    """A verified body under headers that do not fit it (they are unsigned): kept, without effect."""
