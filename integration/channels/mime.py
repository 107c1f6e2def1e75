"""Turns a letter into a mail as RFC 5322 has it, where nothing can break out of a header."""

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import localtime

from integration.channels import Letter
from integration.errors import Rejected

MAX_HEADER = 998  # RFC 5322, 2.1.1: characters a line
_BREAKING = frozenset("\r\n\0")
# Folded at the usual 78 characters a long link in List-Unsubscribe would be written as encoded words, which no
# mailbox provider reads as a link.
# Seven-bit content passes every server.
_POLICY = SMTP.clone(max_line_length=MAX_HEADER, cte_type="7bit")
INTERNATIONAL = _POLICY.clone(utf8=True)  # for addresses beyond ASCII (RFC 6531)


def mail(letter: Letter) -> EmailMessage:
    """Build the multipart mail of a letter: plain text first, HTML as the alternative.

    Raises Rejected for a header that holds a line break or NUL, is too long, or an address that is none.
    """
    headers = {
        "Subject": letter.subject,
        "Message-ID": f"<{letter.message_id}>",
        "Auto-Submitted": "auto-generated",
        **letter.headers,
    }
    for name, value in (*headers.items(), ("From", letter.sender_name), ("To", letter.recipient)):
        if _BREAKING.intersection(value) or len(value) > MAX_HEADER:
            raise Rejected(f"the {name} header of a mail holds a line break or is too long")
    message = EmailMessage(policy=_POLICY)
    try:
        message["From"] = _address(letter.sender, letter.sender_name)
        message["To"] = _address(letter.recipient)
        if letter.reply_to:
            message["Reply-To"] = _address(letter.reply_to)
        message["Date"] = localtime()
        # The content first: setting it drops headers about content that stand already.
        message.set_content(_clean(letter.text))
        message.add_alternative(_clean(letter.html), subtype="html")
        for name, value in headers.items():
            message[name] = value
    except (ValueError, MessageError, IndexError) as error:
        raise Rejected("a mail cannot be written with these headers") from error
    return message


def _address(address: str, name: str = "") -> Address:
    local, at, domain = address.rpartition("@")
    # Quoted local parts are legal and used by nobody but attackers.
    odd = any(c in ' <>,;:()[]"\\' or not c.isprintable() for c in address)
    if not at or not local or not domain or odd:
        raise Rejected("this is not a mail address")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
        return Address(name, local, ascii_domain)
    except (ValueError, MessageError, IndexError) as error:
        raise Rejected("this is not a mail address") from error


def _clean(text: str) -> str:
    """Leave out NUL and unpaired surrogates, which no mail can carry."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
