"""The keys of each table of the configuration and how they are read, ranges included."""

from collections.abc import Mapping, Sequence

from bibsync.collection import Sync
from bibsync.settings import addresses, cron, shapes, values
from bibsync.settings.layers import Setting, Table
from bibsync.settings.values import duration, list_of, one_of, share, whole

JOBS_OF_EACH = ("purchases", "metadata")
"""Jobs that are done for each collection."""
JOBS_KNOWN = (*JOBS_OF_EACH, "statistics", "snapshot", "cleanup", "health")

_HTTP_ADDRESS = Setting(addresses.address("https", "http"), secret=True)
SYNC: Mapping[str, Setting] = {
    "start_date": Setting(values.midnight),
    "reread": Setting(values.ages, plural=True),
    "window": Setting(duration("1h", "31d")),
    "max_window": Setting(duration("1h", "366d")),
    "windows_at_once": Setting(whole(1, 100)),
    "requests_per_second": Setting(values.number(0.01, 100_000)),
    "timeout": Setting(duration("1s", "10m")),
    "retries": Setting(whole(0, 20)),
    "late_after": Setting(duration("1m", "366d")),
    "max_deletes": Setting(share(Sync().max_deletes.least)),
    "max_changes": Setting(share(Sync().max_changes.least)),
}
SECTIONS: Mapping[str, Table] = {
    "database": Table(
        shapes.Database,
        {
            "url": Setting(
                addresses.address("postgresql", "postgres", host=False),
                secret=True,
                harmless=addresses.without_password,
            ),
            "upgrade": Setting(one_of("auto", "never")),
        },
    ),
    "redis": Table(
        shapes.Redis,
        {"url": Setting(addresses.redis, secret=True, harmless=addresses.without_password)},
    ),
    "daemon": Table(
        shapes.Daemon,
        {
            "concurrency": Setting(whole(1, 1000)),
            "drain": Setting(duration("0s", "1h")),
            "lease_ttl": Setting(duration("2s", "1h")),
        },
    ),
    "log": Table(
        shapes.Log,
        {
            "level": Setting(one_of("debug", "info", "warning", "error")),
            "format": Setting(one_of("json", "console", "auto")),
        },
    ),
    "web": Table(
        shapes.Web,
        {
            "listen": Setting(addresses.listen),
            "operator_token": Setting(values.token, secret=True),
            "open_reading": Setting(values.yes_or_no),
            "hosts": Setting(list_of(addresses.host), plural=True),
        },
    ),
    "sync": Table(Sync, SYNC),
    "cleanup": Table(shapes.Cleanup, {"days_to_keep": Setting(whole(1, 36_500))}),
    "notify": Table(
        shapes.Notify,
        {
            "email_to": Setting(list_of(addresses.email), plural=True),
            "smtp_url": Setting(addresses.address("smtp", "smtps"), secret=True),
            "webhook_url": _HTTP_ADDRESS,
            "heartbeat_url": _HTTP_ADDRESS,
            "on": Setting(list_of(one_of(*shapes.NOTICES)), plural=True),
        },
    ),
}

SCHEDULE = Table(
    shapes.Schedule,
    {
        "job": Setting(one_of(*JOBS_KNOWN), required=True),
        "name": Setting(values.name),
        "cron": Setting(cron.line),
        "at": Setting(values.moment),
        "timezone": Setting(values.zone),
        "enabled": Setting(values.yes_or_no),
        "expires": Setting(duration("1s", "366d")),
        "jitter": Setting(duration("0s", "1d")),
        "catch_up": Setting(values.yes_or_no),
        "retries": Setting(whole(0, 20)),
        "retry_delay": Setting(duration("1s", "1d")),
        "keep_results": Setting(duration("0s", "3660d")),
        "collections": Setting(list_of(values.name)),
    },
)


def account(sources: Sequence[str]) -> Mapping[str, Setting]:
    """Return the keys that name a collection and its account at one of `sources`."""
    return {
        "name": Setting(values.name, required=True),
        "source": Setting(one_of(*sources), required=True),
        "library_id": Setting(values.text, required=True),
        "account_id": Setting(values.text, required=True),
        "account_key": Setting(values.secret, required=True, secret=True),
        "base_url": Setting(addresses.base_url),
        "api_version": Setting(values.version),
    }
