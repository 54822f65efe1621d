"""The channels that a configuration asks for."""

import aiohttp

from bibsync.config import Notify
from bibsync.notify.channel import Channel
from bibsync.notify.mail import Mail
from bibsync.notify.web import Heartbeat, Webhook

MAIL = "mail"
WEBHOOK = "webhook"
NAMES = (MAIL, WEBHOOK)
"""The channels that messages go over, whether they are configured or not."""


def told_over(notify: Notify, http: aiohttp.ClientSession, *, domain: str) -> dict[str, Channel]:
    """Return the channels that messages go over, by name; `domain` stands in the ids of mails."""
    found: dict[str, Channel] = {}
    if notify.smtp_url and notify.email_to:
        found[MAIL] = Mail(notify.smtp_url, notify.email_to, domain)
    if notify.webhook_url:
        found[WEBHOOK] = Webhook(notify.webhook_url, http)
    return found


def heartbeat(notify: Notify, http: aiohttp.ClientSession) -> Heartbeat | None:
    """Return the heartbeat, None where there is none."""
    return Heartbeat(notify.heartbeat_url, http) if notify.heartbeat_url else None
