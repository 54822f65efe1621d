"""How single settings are written, and on which line each one stands."""

import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from bibsync.collection import Limit
from bibsync.settings import cron, toml_lines, values

# -- lines: every scalar written as @ becomes the number of the line it stands on


def numbered(text):
    return "\n".join(
        line.replace("@", str(number)) for number, line in enumerate(text.split("\n"), 1)
    )


def flat(value, path=()):
    """Yield every place in a document with what stands there."""
    yield path, value
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    for key, inner in pairs:
        yield from flat(inner, (*path, key))


BLANKS = st.sampled_from(["", " ", "\t", "  "])
NOISE = st.sampled_from(
    [
        '"a = [1, { # ]"',
        "'c:\\'",
        '"\\"]}\\u0041\\\\"',
        '"""x\n[y]\nz = "" \\\n " ""\\""""',
        "'''\n]]\n''q = 1'''",
        '"""""""',
        "''''two'''''",
        "2014-01-01 04:00:00.5+01:00",
        "-1.5e3",
        "true",
    ]
)
BREAKS = st.sampled_from(["", " ", "\n", ' # ] } , = "\n', "\n\n\t"])


@st.composite
def lists(draw, inner):
    elements = draw(st.lists(st.tuples(BREAKS, inner, BREAKS), max_size=3))
    comma = draw(st.sampled_from(["", ","])) if elements else ""
    return "[" + ",".join("".join(parts) for parts in elements) + comma + draw(BREAKS) + "]"


@st.composite
def inline_tables(draw, inner):
    values = draw(st.lists(inner, max_size=3))
    names = ["a", '"b.c"', "d . e"]
    pairs = [
        f"{draw(BLANKS)}{name}={draw(BLANKS)}{v}" for name, v in zip(names, values, strict=False)
    ]
    return "{" + ",".join(pairs) + draw(BLANKS) + "}"


WRITTEN = st.recursive(
    st.just("@") | NOISE, lambda inner: lists(inner) | inline_tables(inner), max_leaves=8
)
KEYS = st.sampled_from(["a", "b-1", "3", '"q.r"', "'s t'", '"\\u00e9"', "a.b", "x . 'y' . z", '""'])
HEADERS = st.sampled_from(
    ["[t]", "[ t . u ]", '["t".v]', "[[l]]", "[[ l . m ]]", "[l.n]", "[[l.m.o]]", "[w.x.y]", "[w]"]
)
PAIRS = st.builds("{}{} ={}{}{}".format, BLANKS, KEYS, BLANKS, WRITTEN, BLANKS)
NOTES = st.sampled_from(["", "# [no] = @", " # x = '''", "\t"])


@given(statements=st.lists(PAIRS | PAIRS | HEADERS | NOTES, max_size=12))
def test_every_value_is_found_on_the_line_it_stands_on(statements):
    accepted, document = [], {}
    for statement in statements:  # leave out what TOML itself refuses, such as a key given twice
        try:
            document = tomllib.loads(numbered("\n".join([*accepted, statement])))
            accepted.append(statement)
        except tomllib.TOMLDecodeError:
            continue
    text = "\n".join(accepted)

    lines = toml_lines.lines(numbered(text))

    places = dict(flat(document))
    assert set(lines) == set(places) - {()}
    planted = {
        path: value
        for path, value in places.items()
        if type(value) is int  # all scalars of NOISE are of other types
    }
    assert planted == {path: lines[path] for path in planted}


def test_a_table_stands_where_its_header_does_and_a_list_element_on_its_own_line():
    text = "\n[[c]]\nname = 1\n\n[[c]]\n[c.d]\nx = [\n 1,\n 2 ]\n"

    lines = toml_lines.lines(text)

    assert lines["c",] == lines["c", 0] == 2
    assert lines["c", 1] == 5
    assert lines["c", 1, "d"] == 6
    assert lines["c", 1, "d", "x", 1] == 9


def test_windows_line_ends_count_once():
    assert toml_lines.lines("a = 1\r\nb = 2\r\n") == {("a",): 1, ("b",): 2}


@given(st.text(alphabet="ab[]{}=.,'\"#\n \\1", max_size=30))
def test_text_that_is_no_toml_never_keeps_the_scan_going(text):
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    toml_lines.lines(text)


# -- values


@given(st.integers(1, 10**6), st.sampled_from("smhd"))
def test_a_duration_shown_is_read_as_the_same(count, unit):
    read = values.duration("0s", "9999999d")
    length = read(f"{count}{unit}")

    assert read(values.shown(length)) == length
    assert values.shown(timedelta(0)) == "0s"


@given(st.decimals(0, 100, places=2))
def test_a_share_is_a_hundredth_of_its_percentage(percent):
    limit = values.share(10)(f"{percent}%")

    assert limit == Limit(float(percent) / 100, 10)


@given(st.dates(values.FIRST_DATE.date(), values.LAST_DATE.date()))
def test_a_date_is_the_midnight_in_utc_it_begins_with(day):
    midnight = values.midnight(day)

    assert midnight == values.midnight(day.isoformat())
    assert midnight == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert values.shown(midnight) == day.isoformat()


@pytest.mark.parametrize(
    "line",
    [
        "* * * * *",
        "*/15 0-6/2 1,15 * 7",
        "0 3 * * sun",
        "59 23 31 12 *",
        "0 0 30 2 mon",
        "5/10 * * * *",
    ],
)
def test_a_cron_line_that_makes_sense_is_kept(line):
    assert cron.line(line) == line


def test_blanks_in_a_cron_line_are_made_one():
    assert cron.line("0  4 * *   *") == "0 4 * * *"


@given(st.text(max_size=200))
def test_a_quotation_is_one_short_printable_line(text):
    quoted = values.quote(text)

    assert quoted.isprintable()
    assert len(quoted) <= 12 * 63 + 2
