"""The configuration: what a file and an environment come to, and how each mistake is told."""

import dataclasses
import os
import traceback
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bibsync import config
from bibsync.collection import Limit, Sync
from bibsync.errors import ConfigInvalid
from bibsync.settings import keys, shapes

KEY = "c4n4ry-key"
MAIN = f"""[[collections]]
name = "main"
source = "bibliotheca"
library_id = "abcde"
account_id = "partner"
account_key = "{KEY}"
base_url = "https://partner.yourcloudlibrary.com/"
"""
EVERYTHING = """
timezone = "Europe/Vienna"
state_dir = "state"

[database]
url = "postgresql://bibsync@localhost/bibsync"
upgrade = "never"
[redis]
url = "redis://localhost:6379/0"

[daemon]
concurrency = 4
drain = "20s"
lease_ttl = "90s"
[log]
level = "debug"
format = "json"

[web]
listen = "[::1]:8471"
operator_token = { env = "BIBSYNC_OPERATOR_TOKEN" }
open_reading = true

[sync]
start_date = 2015-02-03
reread = ["1h", "2d"]
window = "2d"
max_window = "16d"
windows_at_once = 3
requests_per_second = 2
timeout = "30s"
retries = 0
late_after = "3h"
max_deletes = "2.5%"
max_changes = "50%"

[[collections]]
name = "Springfield cloudLibrary"
source = "bibliotheca"
library_id = "abcde"
account_id = "partner"
account_key = { file = "account-key" }
base_url = "HTTPS://Partner.YourCloudLibrary.com:443/api"
api_version = "3.0"
window = "3d"
max_deletes = "9%"

[[schedules]]
job = "purchases"
cron = "*/15 4-6,22 1-7/2 JAN,feb mon-fri"
expires = "6h"
jitter = 0
collections = ["Springfield cloudLibrary"]

[[schedules]]
name = "once"
job = "metadata"
at = 2026-01-31T04:00:00
timezone = "America/Chicago"
enabled = false
catch_up = false
retries = 3
retry_delay = "10m"
keep_results = "1d"

[cleanup]
days_to_keep = 90

[notify]
email_to = ["systems@library.example"]
smtp_url = "smtp://mail.library.example"
webhook_url = "https://hooks.library.example/x"
heartbeat_url = { credential = "heartbeat" }
on = ["failing", "recovered"]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder of its own, so that places read `bibsync.toml:9`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text, environ=None, *, mode=0o600):
    path = Path("bibsync.toml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return config.load(path, {"HOME": "/home/me"} | (environ or {}))


def problems(text, environ=None):
    with pytest.raises(ConfigInvalid) as raised:
        load(text, environ)
    return list(raised.value.problems)


def shown(loaded):
    return {each.key: (each.value, each.origin) for each in config.show(loaded)}


@pytest.fixture
def everything(here):
    (here / "account-key").write_text("s3cret\n")
    (here / "account-key").chmod(0o600)
    (here / "heartbeat").write_text("https://beat.library.example/")
    return {"BIBSYNC_OPERATOR_TOKEN": "t0ken", "CREDENTIALS_DIRECTORY": str(here)}


# -- what a good file comes to


def test_every_key_of_the_contract_arrives_where_it_belongs(everything):
    loaded = load(EVERYTHING, everything)

    assert ZoneInfo("Europe/Vienna") == loaded.timezone
    assert Path("state") == loaded.state_dir
    assert loaded.database.upgrade == "never"
    assert loaded.database.url.get_secret_value() == "postgresql://bibsync@localhost/bibsync"
    assert loaded.redis.url.get_secret_value() == "redis://localhost:6379/0"
    assert loaded.daemon == shapes.Daemon(
        concurrency=4, drain=timedelta(seconds=20), lease_ttl=timedelta(seconds=90)
    )
    assert loaded.log == shapes.Log(level="debug", format="json")
    assert (loaded.web.listen.host, loaded.web.listen.port) == ("::1", 8471)
    assert loaded.web.operator_token.get_secret_value() == "t0ken"
    assert loaded.web.open_reading
    assert loaded.cleanup.days_to_keep == 90
    assert loaded.notify.email_to == ("systems@library.example",)
    assert loaded.notify.on == ("failing", "recovered")
    assert loaded.notify.heartbeat_url.get_secret_value() == "https://beat.library.example/"


def test_a_collection_takes_from_sync_what_it_does_not_set_itself(everything):
    loaded = load(EVERYTHING, everything)

    [collection] = loaded.collections
    assert collection.name == "Springfield cloudLibrary"
    assert collection.account_key.get_secret_value() == "s3cret"
    assert collection.base_url == "https://partner.yourcloudlibrary.com/api/"
    assert collection.api_version == "3.0"
    assert loaded.sync.window == timedelta(days=2)
    assert collection.sync == Sync(
        start_date=datetime(2015, 2, 3, tzinfo=UTC),
        reread=(timedelta(hours=1), timedelta(days=2)),
        window=timedelta(days=3),
        max_window=timedelta(days=16),
        windows_at_once=3,
        requests_per_second=2.0,
        timeout=timedelta(seconds=30),
        retries=0,
        late_after=timedelta(hours=3),
        max_deletes=Limit(0.09, 10),
        max_changes=Limit(0.5, 50),
    )


def test_schedules_have_the_job_as_name_and_the_time_zone_on_top(everything):
    loaded = load(EVERYTHING, everything)

    by_cron, once = loaded.schedules
    assert by_cron == shapes.Schedule(
        name="purchases",
        job="purchases",
        timezone=ZoneInfo("Europe/Vienna"),
        cron="*/15 4-6,22 1-7/2 JAN,feb mon-fri",
        expires=timedelta(hours=6),
        collections=("Springfield cloudLibrary",),
    )
    assert (once.name, once.enabled, once.catch_up, once.retries) == ("once", False, False, 3)
    assert once.at == datetime(2026, 1, 31, 10, tzinfo=UTC)


def test_without_a_file_defaults_and_environment_are_all():
    loaded = config.load(None, {"HOME": "/home/me", "BIBSYNC_LOG__LEVEL": "warning"})

    assert loaded.path is None
    assert ZoneInfo("UTC") == loaded.timezone
    assert loaded.database.url is None
    assert loaded.log.level == "warning"
    assert loaded.sync == Sync()
    assert loaded.collections == loaded.schedules == loaded.warnings == ()


def test_an_empty_file_is_a_configuration():
    assert Sync() == load("").sync


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake():
    loaded = load("\ufeff" + MAIN.replace("\n", "\r\n"))

    assert loaded.collections[0].name == "main"


def test_a_date_may_be_text():
    assert load('[sync]\nstart_date = "2014-05-06"').sync.start_date == datetime(
        2014, 5, 6, tzinfo=UTC
    )


def test_a_start_date_to_come_is_allowed():
    assert load("[sync]\nstart_date = 2190-01-01").sync.start_date.year == 2190


def test_the_same_file_read_twice_is_equal_whatever_is_shown_or_warned_of():
    """A reload begins anew only what has changed."""
    first = load(MAIN)
    second = load("# a comment moves all lines\n" + MAIN, mode=0o644)

    assert first == second
    assert first.warnings != second.warnings


def test_a_moment_with_an_offset_is_that_moment_whatever_the_schedules_time_zone():
    text = """[[schedules]]
job = "health"
at = "2026-01-31T04:00:00+02:00"
timezone = "Asia/Tokyo"
"""

    assert load(text).schedules[0].at == datetime(2026, 1, 31, 2, tzinfo=UTC)


# -- what is wrong, and where


@pytest.mark.parametrize(
    "zone", ["Mars", "../UTC", "/etc/passwd", "America", "", "U\u0000TC", "x" * 300]
)
def test_what_is_no_time_zone_is_refused(zone):
    [found] = problems(f"timezone = {quoted(zone)}")

    assert found.startswith("bibsync.toml:1: timezone ")


def test_the_contracts_own_example_is_told_to_the_letter():
    text = "\n\n" + MAIN.replace('library_id = "abcde"\n', "") + 'libary_id = "abcde"\n'

    assert problems(text) == [
        'bibsync.toml:9: collections "main": unknown key "libary_id"; did you mean "library_id"?'
    ]


def test_every_problem_is_told_at_once_in_the_order_of_the_file():
    text = """timezon = "UTC"
timezone = "Europe/Viena"
[databse]
[daemon]
lease_ttl = "2h"
concurrency = true
drain = 30
[[collections]]
name = "main"
source = "biblioteca"
"""
    environ = {"BIBSYNC_LOG__LEVEL": "loud", "BIBSYNC_LOG__FROMAT": "json"}

    assert problems(text, environ) == [
        'bibsync.toml:1: unknown key "timezon"',
        (
            'bibsync.toml:2: timezone is "Europe/Viena", which is no time zone; '
            'did you mean "Europe/Vienna"?'
        ),
        'bibsync.toml:3: unknown key "databse"; did you mean "database"?',
        'bibsync.toml:5: daemon: lease_ttl is "2h"; it must be from 2s to 1h',
        "bibsync.toml:6: daemon: concurrency must be a whole number, not true or false",
        'bibsync.toml:7: daemon: drain is 30; a duration is written like "90s", "5m", "6h" or "7d"',
        'bibsync.toml:8: collections "main": library_id is missing',
        'bibsync.toml:8: collections "main": account_id is missing',
        'bibsync.toml:8: collections "main": account_key is missing',
        'bibsync.toml:10: collections "main": source is "biblioteca"; it must be bibliotheca',
        'BIBSYNC_LOG__LEVEL: log: level is "loud"; it must be debug, info, warning or error',
        'BIBSYNC_LOG__FROMAT: unknown variable; did you mean "BIBSYNC_LOG__FORMAT"?',
    ]


WRONG = [
    ("[sync]", 'window = "30m"', 'window is "30m"; it must be from 1h to 31d'),
    ("[sync]", 'window = "32d"', 'window is "32d"; it must be from 1h to 31d'),
    ("[sync]", 'window = "d"', 'window is "d"; a duration is written like'),
    ("[sync]", 'window = "٣d"', 'window is "٣d"; a duration is written like'),
    ("[sync]", 'window = "2d"\nmax_window = "1d"', "window 2d is wider than max_window 1d"),
    ("[sync]", 'window = "5"\nmax_window = "2h"', 'window is "5"; a duration is written like'),
    ("[sync]", 'max_window = "1h"', "window 1d is wider than max_window 1h"),
    ("[sync]", 'max_window = "367d"', 'max_window is "367d"; it must be from 1h to 366d'),
    ("[sync]", 'reread = ["2d", "1d"]', "reread must be ascending"),
    ("[sync]", 'reread = ["1d", "24h"]', "reread must be ascending"),
    ("[sync]", 'reread = ["90m"]', "reread must hold whole hours or days"),
    ("[sync]", 'reread = "1d"', "reread must be a list"),
    ("[sync]", 'reread = ["1d", 2]', "reread (element 2) is 2; a duration is written like"),
    ("[sync]", 'timeout = "0s"', 'timeout is "0s"; it must be from 1s to 10m'),
    ("[sync]", "timeout = 0", "timeout is 0; it must be from 1s to 10m"),
    ("[sync]", "retries = 21", "retries is 21; it must be from 0 to 20"),
    ("[sync]", "retries = -1", "retries is -1; it must be from 0 to 20"),
    ("[sync]", "retries = 4.0", "retries must be a whole number, not a number with a point"),
    ("[sync]", 'retries = "4"', "retries must be a whole number, not text"),
    ("[sync]", "requests_per_second = nan", "requests_per_second is nan; it must be from 0.01"),
    ("[sync]", "requests_per_second = 0", "requests_per_second is 0; it must be from 0.01"),
    ("[sync]", "requests_per_second = 100001", "it must be from 0.01 to 100000"),
    ("[sync]", f"requests_per_second = 0x{'f' * 5000}", "is a huge number; it must be from"),
    ("[sync]", "max_deletes = 5", 'max_deletes is 5; a share is written from "0%" to "100%"'),
    ("[sync]", 'max_deletes = "101%"', 'max_deletes is "101%"; a share'),
    ("[sync]", 'max_deletes = "-5%"', 'max_deletes is "-5%"; a share'),
    ("[sync]", 'start_date = "2014-02-30"', 'start_date is "2014-02-30", which no calendar has'),
    ("[sync]", 'start_date = "20140228"', 'start_date is "20140228"; a date is written like'),
    ("[sync]", "start_date = 2014-01-01T00:00:00Z", "a date is written like 2014-01-31"),
    ("[sync]", "start_date = 0001-01-01", "start_date is out of reach; it must be from 1970"),
    ("[daemon]", 'lease_ttl = "1s"', 'lease_ttl is "1s"; it must be from 2s to 1h'),
    ("[daemon]", "concurrency = 0", "concurrency is 0; it must be from 1 to 1000"),
    ("[database]", 'url = "mysql://x"', "url must be an address that begins with postgresql://"),
    ("[database]", 'upgrade = "allways"', 'upgrade is "allways"; it must be auto or never'),
    ("[redis]", "url = 4", "url must be text in quotes, or a table with one of file, env"),
    ("[redis]", 'url = "mysql://x"', "url must be an address that begins with redis://"),
    ("[redis]", 'url = "redis:///0"', "url must name a host, and a port from 1 to 65535"),
    ("[redis]", 'url = "redis+sentinel://a,b"', "url must name the service that the Sentinels"),
    ("[web]", 'listen = "8470"', 'listen is "8470"; it must be a host and a port'),
    ("[web]", 'listen = "localhost:65536"', "it must be a host and a port"),
    ("[web]", 'listen = "::1:8470"', "it must be a host and a port"),
    ("[web]", 'listen = "[::zz]:8470"', "it must be a host and a port"),
    ("[web]", 'listen = "-x:8470"', '"-x" is no host'),
    ("[web]", 'operator_token = "two words"', "operator_token must be ASCII without blanks"),
    ("[web]", 'open_reading = "yes"', "open_reading must be true or false, not text"),
    ("[log]", 'level = "warn"', 'level is "warn"; it must be debug, info, warning or error'),
    ("[cleanup]", "days_to_keep = 0", "days_to_keep is 0; it must be from 1 to 36500"),
    ("[notify]", 'email_to = ["nobody"]', 'email_to (element 1) is "nobody", which is no e-mail'),
    ("[notify]", 'on = ["lat"]', 'on (element 1) is "lat"; it must be failing, late,'),
    ("[notify]", 'smtp_url = "mail.example"', "smtp_url must be an address that begins with"),
    ("[notify]", 'webhook_url = "https://"', "goes on with a host"),
    (
        "[[schedules]]",
        'job = "purchase"\ncron = "* * * * *"',
        'job is "purchase"; it must be purchases, metadata,',
    ),
    ("[[schedules]]", 'job = "health"', "exactly one of cron and at must be given"),
    (
        "[[schedules]]",
        'job = "health"\ncron = "* * * * *"\nat = 2026-01-01T00:00:00Z',
        "exactly one of cron and at must be given",
    ),
    ("[[schedules]]", 'job = "health"\ncron = "* * * *"', "a cron line has five fields"),
    ("[[schedules]]", 'job = "health"\ncron = "60 * * * *"', 'has "60" as minute'),
    ("[[schedules]]", 'job = "health"\ncron = "* * 0 * *"', 'has "0" as day'),
    ("[[schedules]]", 'job = "health"\ncron = "*/0 * * * *"', 'has "*/0" as minute'),
    ("[[schedules]]", 'job = "health"\ncron = "5-2 * * * *"', 'has "5-2" as minute'),
    ("[[schedules]]", 'job = "health"\ncron = "1,, * * * *"', 'has "" as minute'),
    ("[[schedules]]", 'job = "health"\ncron = "* * * mon *"', 'has "mon" as month'),
    ("[[schedules]]", 'job = "health"\ncron = "0 0 30 2 *"', "a day that never comes"),
    ("[[schedules]]", 'job = "health"\nat = 2026-01-01', "a time is written like"),
    ("[[schedules]]", 'job = "health"\nat = 9999-12-31T23:00:00Z', "at is out of reach"),
    (
        "[[schedules]]",
        'job = "purchases"\ncron = "* * * * *"\ncollections = ["mian"]',
        'there is no collection "mian"; did you mean "main"?',
    ),
    (
        "[[schedules]]",
        'job = "health"\ncron = "* * * * *"\ncollections = ["main"]',
        '"health" is about all collections, not about some',
    ),
]


@pytest.mark.parametrize(("table", "lines", "sentence"), WRONG)
def test_an_impossible_value_is_refused_with_its_reason(table, lines, sentence):
    found = problems(f"{MAIN}{table}\n{lines}\n")

    assert len(found) == 1
    assert sentence in found[0]
    assert found[0].startswith("bibsync.toml:")


COLLECTION_WRONG = [
    ('name = ""', "name is empty"),
    ('name = " \\t "', "name is empty"),
    ('name = "a\\u0007b"', "name has line breaks or control characters"),
    ('name = "a\\nb"', "name has line breaks or control characters"),
    ("name = 4", "name must be text in quotes, not a whole number"),
    ('source = "overdrive"', 'source is "overdrive"; it must be bibliotheca'),
    ('library_id = ""', "library_id is empty"),
    ('library_id = " abcde"', "library_id has blanks around it"),
    ('account_id = "a\\r\\nb"', "account_id has blanks around it or characters"),
    ('account_key = ""', "account_key is empty"),
    ('account_key = "a\\nb"', "account_key has line breaks"),
    ("account_key = 12", "account_key must be text in quotes, or a table"),
    ('base_url = "partner.example"', "base_url must be an address that begins with https://"),
    ('base_url = "ftp://partner.example"', "base_url must be an address that begins with https://"),
    ('base_url = "https://me:c4n4ry@x.example/"', "base_url must not hold a user or a password"),
    ('base_url = "https://x.example/?k=c4n4ry"', "base_url must not hold a query"),
    ('base_url = "https://x.example/#f"', "base_url must not hold a query"),
    ('base_url = "https:///path"', "base_url must name a host"),
    ('base_url = "https://x.example:0/"', "base_url must name a host, and a port"),
    ('base_url = "https://x.example:99999/"', "base_url must name a host, and a port"),
    ('base_url = "https://[::1/"', "base_url must be an address"),
    ('base_url = "https://a b/"', "base_url must be an address"),
    ("api_version = 2.0", "api_version must be text in quotes, not a number with a point"),
    ('api_version = "two"', 'api_version is "two"; a version is written like "2.0"'),
]


@pytest.mark.parametrize(("line", "sentence"), COLLECTION_WRONG)
def test_an_impossible_value_of_a_collection_is_refused(line, sentence):
    key = line.partition(" ")[0]
    kept = [old for old in MAIN.splitlines() if not old.startswith(f"{key} ")]
    text = "\n".join([*kept, line])

    [found] = problems(text)

    assert sentence in found
    assert "c4n4ry" not in found


@pytest.mark.parametrize(
    ("written", "in_force"),
    [
        ("https://x.example", "https://x.example/"),
        ("https://x.example//", "https://x.example/"),
        ("HTTPS://X.Example:443/A", "https://x.example/A/"),
        ("http://localhost:8080/", "http://localhost:8080/"),
        ("http://[::1]:80/", "http://[::1]/"),
    ],
)
def test_a_base_url_ends_with_a_slash_and_has_one_spelling(written, in_force):
    loaded = load(MAIN.replace("https://partner.yourcloudlibrary.com/", written))

    assert loaded.collections[0].base_url == in_force


def test_a_second_collection_of_the_same_name_is_refused_even_if_more_is_wrong_with_it():
    [missing, taken] = problems(MAIN + '[[collections]]\nname = "main"\n' + SECOND_BUT_KEY)

    assert missing == 'bibsync.toml:8: collections "main": account_key is missing'
    assert taken == (
        'bibsync.toml:9: collections "main": the name is taken already, at bibsync.toml:1'
    )


SECOND_BUT_KEY = (
    'source = "bibliotheca"\nlibrary_id = "b"\naccount_id = "c"\nbase_url = "https://b.example"\n'
)


def test_a_second_schedule_for_a_job_needs_a_name_of_its_own():
    text = '[[schedules]]\njob = "health"\ncron = "0 * * * *"\n'

    assert problems(text * 2) == [
        'bibsync.toml:5: schedules "health": the name is taken already, at bibsync.toml:1'
    ]
    assert len(load(text + text + 'name = "health again"').schedules) == 2


def test_a_collections_window_is_held_against_the_max_window_it_inherits():
    assert problems('[sync]\nmax_window = "2d"\n' + MAIN + 'window = "3d"') == [
        'bibsync.toml:10: collections "main": window 3d is wider than max_window 2d'
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[collections.main]", "bibsync.toml:1: collections: is a list: each begins with a line"),
        ("collections = [4]", "bibsync.toml:1: collections number 1: must be a table"),
        ("daemon = 4", "bibsync.toml:1: daemon: must be a table"),
        ("[[daemon]]", "bibsync.toml:1: daemon: must be a table"),
    ],
)
def test_a_table_of_the_wrong_shape_is_told(text, found):
    assert problems(text)[0].startswith(found)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a = 1\nb = = 2\n", "bibsync.toml:2: this isn't TOML: Invalid value"),
        (b"[daemon]\nconcurrency", "bibsync.toml:2: this isn't TOML: "),
        (b"[daemon]\n[daemon]\n", "bibsync.toml:2: this isn't TOML: "),
        (b"a = 1\nb = '\xff'\n", "bibsync.toml:2: the file isn't UTF-8 text"),
        ("a = 1\n".encode("utf-16"), "bibsync.toml:1: the file isn't UTF-8 text"),
        (b"a = 2014-02-30\n", "bibsync.toml:1: this isn't TOML: Invalid date"),
        (b"a = " + b"9" * 5000, "bibsync.toml:1: some number or date in the file"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "bibsync.toml:1: the file is nested too deeply"),
        (b"a" * (5 * 1024 * 1024), "bibsync.toml: is too large for a configuration"),
    ],
)
def test_what_is_no_toml_is_told_in_one_sentence(content, found):
    [problem] = problems(content)

    assert problem.startswith(found)


def test_a_folder_a_missing_file_and_a_loop_of_links_are_told(here):
    (here / "folder").mkdir()
    (here / "loop").symlink_to("loop")
    told = []

    for name in ("folder", "missing", "loop", "nul\0"):
        with pytest.raises(ConfigInvalid) as raised:
            config.load(Path(name), {})
        told.extend(raised.value.problems)

    assert told == [
        "folder: is a folder, not a file",
        "missing: there is no such file",
        "loop: can't be read: too many levels of symbolic links",
        "'nul\\x00': can't be read: the name is impossible",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told():
    path = Path("bibsync.toml")
    path.touch(mode=0)

    with pytest.raises(ConfigInvalid, match="can't be read: permission denied"):
        config.load(path, {})


# -- which file


def test_the_option_comes_before_the_variable_and_that_before_the_folder(here):
    for name in ("option.toml", "variable.toml", "bibsync.toml"):
        (here / name).touch()
    environ = {"BIBSYNC_CONFIG": "variable.toml"}

    assert config.find(Path("option.toml"), environ) == Path("option.toml")
    assert config.find(None, environ) == Path("variable.toml")
    assert config.find(None, {}) == Path("bibsync.toml")
    assert config.find(None, {"BIBSYNC_CONFIG": ""}) == Path("bibsync.toml")


def test_where_no_file_is_there_none_is_found():
    assert [Path("bibsync.toml"), Path("/etc/bibsync/bibsync.toml")] == list(config.PLACES)
    if not Path("/etc/bibsync/bibsync.toml").exists():
        assert config.find(None, {}) is None


def test_a_named_file_that_is_not_there_is_refused_though_another_would_be(here):
    (here / "bibsync.toml").touch()

    with pytest.raises(ConfigInvalid, match='--config: there is no file "gone'):
        config.find(Path("gone.toml"), {})
    with pytest.raises(ConfigInvalid, match='BIBSYNC_CONFIG: there is no file "gone'):
        config.find(None, {"BIBSYNC_CONFIG": "gone.toml"})


def test_a_dangling_link_is_not_passed_over_in_silence(here):
    (here / "bibsync.toml").symlink_to("gone")

    assert config.find(None, {}) == Path("bibsync.toml")


# -- the environment


def test_the_environment_comes_before_the_file_and_says_so():
    text = '[daemon]\nconcurrency = 4\n[log]\nlevel = "info"\n[sync]\nretries = 2\n' + MAIN
    environ = {
        "BIBSYNC_DAEMON__CONCURRENCY": "16",
        "BIBSYNC_LOG__LEVEL": "DEBUG",
        "BIBSYNC_WEB__OPEN_READING": "true",
        "BIBSYNC_SYNC__REREAD": "1d, 2d",
        "BIBSYNC_SYNC__START_DATE": "2016-01-01",
        "BIBSYNC_SYNC__REQUESTS_PER_SECOND": "2.5",
        "BIBSYNC_NOTIFY__ON": '["late"]',
        "BIBSYNC_TIMEZONE": "Asia/Tokyo",
    }

    loaded = load(text, environ)

    assert loaded.daemon.concurrency == 16
    assert loaded.log.level == "debug"
    assert loaded.web.open_reading
    assert loaded.notify.on == ("late",)
    assert ZoneInfo("Asia/Tokyo") == loaded.timezone
    sync = loaded.collections[0].sync
    assert (sync.retries, sync.requests_per_second) == (2, 2.5)
    assert sync.reread == (timedelta(days=1), timedelta(days=2))
    assert sync.start_date == datetime(2016, 1, 1, tzinfo=UTC)
    assert shown(loaded)["daemon.concurrency"] == ("16", "BIBSYNC_DAEMON__CONCURRENCY")
    assert shown(loaded)["sync.retries"] == ("2", "bibsync.toml:6")
    assert shown(loaded)["sync.timeout"] == ("60s", "default")


def test_the_short_forms_set_database_redis_and_state_folder():
    loaded = load(
        "",
        {
            "BIBSYNC_DATABASE_URL": "postgresql:///a",
            "BIBSYNC_REDIS_URL": "redis://b",
            "BIBSYNC_STATE_DIR": "~/c",
        },
    )

    assert loaded.database.url.get_secret_value() == "postgresql:///a"
    assert loaded.redis.url.get_secret_value() == "redis://b"
    assert loaded.state_dir == Path("/home/me/c")
    assert shown(loaded)["database.url"] == ("********", "BIBSYNC_DATABASE_URL")
    assert shown(loaded)["state_dir"] == ("/home/me/c", "BIBSYNC_STATE_DIR")


def test_a_short_and_a_long_form_may_not_contradict_each_other():
    both = {"BIBSYNC_DATABASE_URL": "postgresql:///a", "BIBSYNC_DATABASE__URL": "postgresql:///b"}

    assert problems("", both) == [
        "BIBSYNC_DATABASE__URL: database: BIBSYNC_DATABASE_URL sets url too, to something else"
    ]


def test_an_empty_variable_sets_nothing():
    assert load("", {"BIBSYNC_LOG__LEVEL": "", "BIBSYNC_DATABASE_URL": ""}).database.url is None


def test_variables_that_nothing_reads_are_refused_but_not_the_free_ones():
    free = {
        "BIBSYNC_CONFIG": "x",
        "BIBSYNC_PG_BIN": "x",
        "BIBSYNC_MARC_SAMPLES": "x",
        "BIBSYNC_TEST__ANYTHING": "x",
        "BIBSYNC_KEYS__MAIN": "named by the file",
    }
    text = MAIN.replace(f'"{KEY}"', '{ env = "BIBSYNC_KEYS__MAIN" }')

    assert load(text, free).collections
    assert problems(text, free | {"BIBSYNC_X__Y": "1", "BIBSYNC_COLLECTIONS__MAIN__NAME": "n"}) == [
        "BIBSYNC_COLLECTIONS__MAIN__NAME: collections and schedules stand in the file only",
        "BIBSYNC_X__Y: unknown variable",
    ]


@pytest.mark.parametrize(
    ("environ", "root", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, True, ("/var/lib/a", "STATE_DIRECTORY")),
        ({}, True, ("/var/lib/bibsync", "default")),
        ({"XDG_STATE_HOME": "/x"}, False, ("/x/bibsync", "XDG_STATE_HOME")),
        ({"XDG_STATE_HOME": "x"}, False, ("/home/me/.local/state/bibsync", "default")),
        ({}, False, ("/home/me/.local/state/bibsync", "default")),
    ],
)
def test_the_state_folder_is_where_the_system_wants_it(environ, root, expected):
    path, origin = config.places.state_dir({"HOME": "/home/me"} | environ, root=root)

    assert (str(path), origin) == expected


def test_a_state_folder_in_the_file_lies_beside_the_file(here):
    (here / "etc").mkdir()
    (here / "etc" / "b.toml").write_text('state_dir = "state"')

    assert config.load(Path("etc/b.toml"), {}).state_dir == Path("etc/state")
    named = {"BIBSYNC_STATE_DIR": "state"}
    assert config.load(Path("etc/b.toml"), named).state_dir == Path("state")


# -- secrets


@pytest.mark.parametrize(
    ("keeper", "sentence"),
    [
        ('{ file = "gone" }', 'from the file "gone": no such file or directory'),
        ('{ file = "." }', 'from the file ".": is a directory'),
        ('{ file = "empty" }', 'from the file "empty", which is empty'),
        ('{ file = "binary" }', 'from the file "binary", which holds no text'),
        ('{ file = "a\\u0000b" }', "which holds no text or has no possible name"),
        ('{ file = "/dev/zero" }', "which is too large for a secret"),
        ('{ env = "GONE" }', 'from the variable "GONE", which is empty or not set'),
        ('{ env = "EMPTY" }', 'from the variable "EMPTY", which is empty or not set'),
        ('{ credential = "gone" }', 'from the credential "gone": no such file'),
        ('{ credential = "../x" }', "credentials have no folders"),
        ('{ fiel = "x" }', 'has the unknown key "fiel"; did you mean "file"?'),
        ("{ }", "must name exactly one of file, env, credential, not 0"),
        ('{ file = "a", env = "b" }', "must name exactly one of file, env, credential, not 2"),
        ("{ file = 4 }", "must name its file as text in quotes"),
        ('["x"]', "must be text in quotes, or a table with one of file, env, credential"),
    ],
)
def test_a_secret_that_can_not_be_had_is_told_with_its_line(here, keeper, sentence):
    (here / "empty").write_text("\n")
    (here / "binary").write_bytes(b"\xff\xfe")
    environ = {"EMPTY": " ", "CREDENTIALS_DIRECTORY": str(here)}

    [found] = problems(MAIN.replace(f'"{KEY}"', keeper), environ)

    assert found.startswith('bibsync.toml:6: collections "main": account_key ')
    assert sentence in found


def test_a_credential_needs_what_systemd_passes():
    [found] = problems(MAIN.replace(f'"{KEY}"', '{ credential = "key" }'))

    assert found.endswith(
        'account_key is to come from the credential "key", but systemd passed none'
    )


def test_a_secret_file_is_looked_for_beside_the_configuration(here):
    (here / "etc").mkdir()
    (here / "etc" / "key").write_bytes(b"\xef\xbb\xbfs3cret \r\n")
    (here / "etc" / "b.toml").write_text(MAIN.replace(f'"{KEY}"', '{ file = "key" }'))

    loaded = config.load(Path("etc/b.toml"), {})

    assert loaded.collections[0].account_key.get_secret_value() == "s3cret "


def test_no_secret_shows_wherever_the_configuration_is_looked_at(here):
    (here / "key").write_text("c4n4ry-file")
    environ = {
        "KEY": "c4n4ry-env",
        "BIBSYNC_DATABASE_URL": "postgresql://me:c4n4ry-url@localhost/x",
        "CREDENTIALS_DIRECTORY": str(here),
    }
    text = f"""{MAIN}
[web]
operator_token = {{ env = "KEY" }}
[notify]
smtp_url = "smtp://me:c4n4ry-smtp@mail.example"
webhook_url = "https://hooks.example/c4n4ry"
heartbeat_url = "https://beat.example/c4n4ry"
[redis]
url = "redis://:c4n4ry-redis@localhost"
"""
    loaded = load(text, environ, mode=0o644)

    looked_at = [repr(loaded), str(loaded), *loaded.warnings, *map(str, config.show(loaded))]
    looked_at.append(str(dataclasses.asdict(loaded)))
    assert not [text for text in looked_at if "c4n4ry" in text]
    assert loaded.database.url.get_secret_value().count("c4n4ry") == 1
    for key in ("web.operator_token", "notify.webhook_url", "redis.url"):
        assert shown(loaded)[key][0] == "********"


@pytest.mark.parametrize(
    "text",
    [
        '[database]\nurl = "mysql://me:c4n4ry@localhost"',
        '[database]\nurl = "c4n4ry"',
        '[redis]\nurl = "http://:c4n4ry@localhost"',
        '[web]\noperator_token = "c4n4ry \u20ac"',
        '[web]\noperator_token = ["c4n4ry"]',
        '[web]\noperator_token = { env = "BLANKS" }',
        '[notify]\nsmtp_url = "smtp://me:c4n4ry@[::1"',
        '[notify]\nwebhook_url = "https://c4n4ry\u2100.example/"',
        '[notify]\nheartbeat_url = "https://x:c4n4ry/"',
        'a = 1\nb = "\\c4n4ry"',
        "account_key = c4n4ry",
        '[[collections]]\naccount_key = "c4n4ry\\u0000"',
        '[[collections]]\nbase_url = "https://me:c4n4ry@x"',
    ],
)
def test_no_secret_shows_in_a_refusal_not_even_in_its_traceback(text):
    environ = {"BLANKS": "c4n4ry c4n4ry"}

    with pytest.raises(ConfigInvalid) as raised:
        load(text, environ)

    told = [*raised.value.problems, repr(raised.value), *traceback.format_exception(raised.value)]
    assert not [each for each in told if "c4n4ry" in each]
    assert raised.value.__context__ is None


# -- what works but should not stay so


def test_a_secret_in_a_file_that_others_can_read_is_warned_of_once():
    two = MAIN + MAIN.replace('"main"', '"two"').replace("abcde", "other")

    assert load(two).warnings == ()
    assert load(two, mode=0o640).warnings == load(two, mode=0o604).warnings
    assert load(two, mode=0o644).warnings == (
        "bibsync.toml:6: a secret stands here and other users can read this file; chmod 600 it",
    )


@pytest.mark.parametrize(
    ("url", "harmless"),
    [
        ("postgresql://bibsync@localhost:5432/bibsync", True),
        ("postgresql:///bibsync", True),
        ("postgresql://me:pw@localhost/x", False),
        ("postgresql://me:p/w@localhost/x", False),
        ("postgresql://localhost/x?password=pw", False),
    ],
)
def test_a_database_address_without_password_may_stand_in_an_open_file(url, harmless):
    warnings = load(f'[database]\nurl = "{url}"', mode=0o644).warnings

    assert harmless == (warnings == ())


def test_what_is_to_be_known_is_warned_of_with_its_place(here):
    (here / "key").write_text("s3cret")
    (here / "key").chmod(0o644)
    text = MAIN.replace(f'"{KEY}"', '{ file = "key" }').replace("https:", "http:")
    second = text.replace('"main"', '"twin"').replace("http:", "https:")
    third = second.replace('"twin"', '"triplet"')
    rest = """[redis]
url = "redis://10.0.0.1"
[web]
listen = "0.0.0.0:8470"
[notify]
email_to = ["a@b.example"]
webhook_url = "http://hooks.example/"
"""

    told = load(text + second + third + rest).warnings

    everyone = 'account_key is in "key", which every user here can read'
    assert told == (
        f'bibsync.toml:6: collections "main": {everyone}',
        'bibsync.toml:7: collections "main": base_url crosses the network unencrypted; use https',
        f'bibsync.toml:13: collections "twin": {everyone}',
        'bibsync.toml:19: collections "triplet": this is the account of collections "twin" again',
        f'bibsync.toml:20: collections "triplet": {everyone}',
        (
            "bibsync.toml:23: redis: url crosses the network unencrypted; "
            "use rediss, unless that network is private"
        ),
        (
            "bibsync.toml:25: web: listen is beyond loopback without encryption; "
            "put a proxy with HTTPS before it"
        ),
        "bibsync.toml:27: notify: email_to needs smtp_url; none is sent",
        "bibsync.toml:28: notify: webhook_url crosses the network unencrypted",
    )


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("redis://redis.example", True),
        ("redis+sentinel://localhost,redis.example/main", True),
        ("redis://localhost/2", False),
        ("redis://127.0.0.3:7000", False),
        ("rediss://redis.example", False),
        ("rediss+sentinel://redis.example/main", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_a_redis_in_clear_beyond_this_machine_is_warned_of(url, warned):
    warnings = load(f'[redis]\nurl = "{url}"').warnings

    assert warned == bool([each for each in warnings if "url crosses the network" in each])


def test_http_to_this_machine_is_no_matter():
    local = "http://127.0.0.2:8080/"

    assert load(MAIN.replace("https://partner.yourcloudlibrary.com/", local)).warnings == ()


# -- what is shown


def test_each_value_is_shown_in_its_written_form_with_its_origin(everything):
    values = shown(load(EVERYTHING, everything))

    assert values["timezone"] == ("Europe/Vienna", stands("timezone ="))
    assert values["daemon.lease_ttl"] == ("90s", stands("lease_ttl"))
    assert values["web.listen"] == ("[::1]:8471", stands("listen"))
    assert values["web.operator_token"] == ("********", stands("operator_token"))
    assert values["sync.start_date"] == ("2015-02-03", stands("start_date"))
    assert values["sync.reread"] == ("1h, 2d", stands("reread"))
    assert values["sync.max_deletes"] == ("2.5%", stands("max_deletes"))
    mine = 'collections."Springfield cloudLibrary"'
    assert values[f"{mine}.window"] == ("3d", stands('window = "3d"'))
    assert f"{mine}.timeout" not in values
    assert values["schedules.once.retry_delay"] == ("10m", stands("retry_delay"))


def stands(fragment):
    """Return the place in EVERYTHING where `fragment` is met first."""
    return f"bibsync.toml:{EVERYTHING[: EVERYTHING.index(fragment)].count(chr(10)) + 1}"


def test_defaults_are_shown_as_the_contract_writes_them():
    values = {key: value for key, (value, _) in shown(load("")).items()}

    assert (
        values.items()
        >= {
            "timezone": "UTC",
            "database.url": "not set",
            "database.upgrade": "auto",
            "daemon.concurrency": "8",
            "daemon.drain": "30s",
            "daemon.lease_ttl": "60s",
            "log.level": "info",
            "log.format": "auto",
            "web.listen": "127.0.0.1:8470",
            "sync.start_date": "2014-01-01",
            "sync.reread": "1d, 2d, 4d, 8d, 16d, 32d, 64d",
            "sync.window": "1d",
            "sync.max_window": "32d",
            "sync.windows_at_once": "2",
            "sync.requests_per_second": "5.0",
            "sync.timeout": "60s",
            "sync.retries": "4",
            "sync.late_after": "36h",
            "sync.max_deletes": "5%",
            "sync.max_changes": "20%",
            "cleanup.days_to_keep": "180",
        }.items()
    )


def test_every_field_of_a_section_can_be_set():
    for table in [*keys.SECTIONS.values(), keys.SCHEDULE]:
        assert {each.name for each in dataclasses.fields(table.shape)} == set(table.settings)


# -- no input is a defect

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from(["1d", "0s", "999999999d", "5%", "https://x", "* * * * *", "a@b.c", "UTC"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["file", "env", "name", "x"]) | st.text(), inner, max_size=3
        )
    ),
    max_leaves=6,
)
BOUNDED = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def toml(value):
    """Write any value as TOML; None becomes a word that TOML doesn't know."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = quoted(value)
        case list():
            text = f"[{', '.join(map(toml, value))}]"
        case dict():
            text = f"{{{', '.join(f'{quoted(k)} = {toml(v)}' for k, v in value.items())}}}"
        case date() | time():
            text = value.isoformat()
        case _:
            text = str(value)
    return text


def quoted(text):
    return '"' + "".join(f"\\U{ord(c):08x}" if ord(c) < 0xD800 else "" for c in text) + '"'


def loaded_or_told(text, environ):
    """Load `text`: the problems if it is refused, each one printable line with its place."""
    try:
        loaded = load(text, environ)
    except ConfigInvalid as error:
        return error.problems
    return [each for each in config.show(loaded) if not each.value.isprintable()]


@BOUNDED
@given(
    line=st.sampled_from([n for n, text in enumerate(EVERYTHING.splitlines()) if " = " in text]),
    value=ANYTHING,
)
def test_any_value_anywhere_is_taken_or_refused(everything, line, value):
    lines = EVERYTHING.splitlines()
    key = lines[line].partition(" = ")[0]
    lines[line] = f"{key} = {toml(value)}"

    told = loaded_or_told("\n".join(lines), everything)

    assert all(text.isprintable() and text.startswith("bibsync.toml:") for text in told)


@BOUNDED
@given(
    pieces=st.lists(
        st.sampled_from([*EVERYTHING.split(), *"[]{}=.,'\"#\n\r\0é", "[[", "]]", '"""'])
        | st.text(max_size=3),
        max_size=30,
    ),
    glue=st.sampled_from(["", " ", "\n"]),
)
def test_any_text_is_taken_or_refused(everything, pieces, glue):
    text = glue.join(pieces).encode("utf-8", "surrogatepass")

    told = loaded_or_told(text, everything)

    assert all(text.isprintable() and text.startswith("bibsync.toml:") for text in told)


VARIABLES = [
    f"BIBSYNC_{name}__{key}".upper()
    for name, table in keys.SECTIONS.items()
    for key in table.settings
]


def test_a_variable_that_contradicts_the_file_is_the_one_that_is_named():
    with pytest.raises(ConfigInvalid) as told:
        load('[sync]\nwindow = "2d"\n', {"BIBSYNC_SYNC__MAX_WINDOW": "1d"})

    assert ["BIBSYNC_SYNC__MAX_WINDOW: sync: window 2d is wider than max_window 1d"] == list(
        told.value.problems
    )


@BOUNDED
@given(name=st.sampled_from(VARIABLES), value=st.text(max_size=20) | ANYTHING.map(toml))
def test_any_variable_is_taken_or_refused(everything, name, value):
    """One that a collection's own window contradicts is told at that window's line."""
    told = loaded_or_told(EVERYTHING, everything | {name: value})

    assert all(text.isprintable() for text in told)
    assert all(text.startswith(f"{name}: ") or "is wider than max_window" in text for text in told)
