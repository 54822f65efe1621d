"""Mail over SMTP: where to, how safely, and what a mail looks like.

The address is `smtp://[user:password@]host[:port][?from=sender]`, or `smtps://` for TLS from the
first byte. A password goes over an encrypted connection to a host whose certificate is valid, or to
this machine itself, and never otherwise. Mail without a password is encrypted where the server
offers it (STARTTLS), whatever its certificate: whoever could forge that could hide the offer too.

What a server answers is never repeated: it might be what it was sent.
"""

import hashlib
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
from pydantic import SecretStr

from bibsync.notify import wording
from bibsync.notify.channel import Undelivered
from bibsync.notify.wording import Message
from bibsync.settings.addresses import is_loopback

PORT: Final = 25
PORT_WITH_LOGIN: Final = 587
PORT_TLS: Final = 465
MOST: Final = 200
HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
ADDRESS: Final = re.compile(r"[^\s@<>\"(),:;\[\]\\]+@[^\s@<>\"(),:;\[\]\\]+")
LOGIN: Final = "Check user and password in [notify] smtp_url."
SENDER: Final = (
    "Name a sender that the server accepts, at the end of [notify] smtp_url: "
    "?from=bibsync@library.example"
)
RECIPIENTS: Final = "Check the addresses in [notify] email_to with whoever runs the mail server."
CERTIFICATE: Final = (
    "Have the mail server show a certificate that this machine trusts, for the name in [notify] "
    "smtp_url; the password is sent to no other."
)
NOT_OFFERED: Final = "The mail server offers no encryption or no login, which smtp_url asks for."
PORT_REMEDY: Final = (
    "Check the port in [notify] smtp_url; a password is sent over an encrypted connection only."
)
FAULTS: Final[tuple[tuple[type[Exception], str, str | None], ...]] = (
    (aiosmtplib.SMTPAuthenticationError, "The mail server refuses user or password.", LOGIN),
    (aiosmtplib.SMTPSenderRefused, "The mail server refuses the sender {sender}.", SENDER),
    (aiosmtplib.SMTPRecipientsRefused, "The mail server refuses every recipient.", RECIPIENTS),
    (aiosmtplib.SMTPResponseException, "The mail server refuses it with code {code}.", None),
    (ssl.SSLCertVerificationError, "The mail server's certificate isn't valid.", CERTIFICATE),
    (ssl.SSLError, "No secure connection to the mail server could be made.", None),
    (socket.gaierror, "The mail server's name can't be found (DNS).", None),
    (aiosmtplib.SMTPConnectError, "Nothing answers at the mail server's address.", None),
    (OSError, "The mail server broke the connection off.", None),
)
"""What can go wrong: the first kind that the error or its cause is, what to say, what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server as `smtp_url` names it.

    Attributes:
        encrypted: from the first byte on ("tls"), by STARTTLS and else not at all ("starttls"), or
            where it is offered ("offered").
        verified: whether its certificate must be valid.
    """

    host: str
    port: int
    encrypted: str
    verified: bool
    sender: str
    user: str | None = None
    password: SecretStr | None = None

    @classmethod
    def read(cls, url: str, *, here: str) -> Self:
        """Read an address that the configuration has accepted; `here` is this machine's name."""
        parts = urlsplit(url)
        host = parts.hostname or "localhost"
        tls = parts.scheme == "smtps"
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password is not None else ""
        within = is_loopback(host)
        encrypted = "tls" if tls else "starttls" if user and not within else "offered"
        usual = PORT_TLS if tls else PORT_WITH_LOGIN if user else PORT
        named = parse_qs(parts.query).get("from", [""])[0]
        senders = [each for each in (named, user or "") if ADDRESS.fullmatch(each)]
        return cls(
            host=host,
            port=parts.port or usual,
            encrypted=encrypted,
            verified=not within and encrypted != "offered",
            sender=senders[0] if senders else f"bibsync@{here}",
            user=user,
            password=SecretStr(password) if user else None,
        )


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends messages to all of `to`; `domain` stands in their ids, the same for all replicas."""

    url: SecretStr
    to: tuple[str, ...]
    domain: str = "bibsync.invalid"
    name: str = "mail"
    most: int = MOST

    async def send(self, messages: Sequence[Message]) -> None:
        """Send one mail; several messages stand in it one after the other."""
        server = Server.read(self.url.get_secret_value(), here=here())
        message = messages[0] if len(messages) == 1 else wording.gathered(list(messages))
        mail = composed(message, self, server, now=datetime.now(UTC))
        try:
            refused = await _hand_over(mail, server, self.to)
        except (aiosmtplib.SMTPException, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            failed = _told(error, server)
        else:
            if not refused:
                return
            failed = Undelivered(
                f"The mail server refuses {refused} of {len(self.to)} recipients; the others have "
                "got it.",
                remedy=RECIPIENTS,
                partly=True,
            )
        raise failed


def here() -> str:
    """Return this machine's name as mail can have it."""
    name = socket.gethostname()
    return name if HOST.fullmatch(name) else "localhost"


def composed(message: Message, mail: Mail, server: Server, *, now: datetime) -> EmailMessage:
    """Return a mail; its Message-ID is the same each time that the same is told."""
    made = EmailMessage()
    made["From"] = server.sender
    made["To"] = ", ".join(mail.to)
    made["Subject"] = f"[bibsync] {message.title}"
    made["Date"] = format_datetime(now)
    made["Message-ID"] = _id(message.id, mail.domain)
    if message.answers:
        made["In-Reply-To"] = made["References"] = _id(message.answers, mail.domain)
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(message.body)
    return made


def _id(word: str, domain: str) -> str:
    return f"<{hashlib.sha256(word.encode()).hexdigest()[:24]}@{domain}>"


async def _hand_over(mail: EmailMessage, server: Server, to: Sequence[str]) -> int:
    """Send a mail; return how many of its recipients the server refuses."""
    refused, _ = await aiosmtplib.send(
        mail,
        sender=server.sender,
        recipients=list(to),
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password.get_secret_value() if server.password else None,
        local_hostname=here(),
        use_tls=server.encrypted == "tls",
        start_tls={"tls": False, "starttls": True, "offered": None}[server.encrypted],
        validate_certs=server.verified,
    )
    return len(refused)


def _told(error: Exception, server: Server) -> Undelivered:
    """Say what went wrong, without a word of the server's."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    for kind, sentence, remedy in FAULTS:
        if isinstance(error, kind) or isinstance(cause, kind):
            code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else None
            return Undelivered(sentence.format(sender=server.sender, code=code), remedy=remedy)
    return Undelivered(NOT_OFFERED, remedy=PORT_REMEDY)
