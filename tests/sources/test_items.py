"""Look-ups: what the vendor tells of titles, and what its silence means."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from wire import answer

from bibsync.collection import Collection, Sync
from bibsync.errors import SourceBusy
from bibsync.item import Author
from bibsync.sources.bibliotheca import LOOKUP_SIZE, Bibliotheca
from bibsync.sources.bibliotheca_items import read

ITEM = b"""<?xml version="1.0" encoding="utf-8"?>
<ArrayOfItem xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <Item>
  <ItemId>d5rf89</ItemId><Title>Siege &amp; Storm</Title><SubTitle />
  <Authors>Bardugo, Leigh;O&amp;#39;Hara, Anne (Narrator); B&amp;amp;B</Authors>
  <Genre>YOUNG ADULT FICTION / Fantasy,FICTION / Love &amp;amp; Romance</Genre>
  <Publisher>Holt</Publisher><PubYear>2013</PubYear><PubDate></PubDate>
  <ISBN>9780805097115</ISBN><BookFormat>EPUB3</BookFormat><Language>eng</Language>
  <NumberOfPages>435</NumberOfPages>
  <TotalCopies>3</TotalCopies><OnHoldCount>0</OnHoldCount>
 </Item>
</ArrayOfItem>"""


def listed(*control_numbers):
    items = "".join(f"<Item><ItemId>{each}</ItemId></Item>" for each in control_numbers)
    return f"<ArrayOfItem>{items}</ArrayOfItem>".encode()


def one(title):
    body = b"<Items><Item><ItemId>a</ItemId><Title>%b</Title></Item></Items>" % title
    return read(body, ["a"], vendor="The vendor").described["a"]


@pytest.fixture
def source(wire, hosts):
    return Bibliotheca(
        Collection(
            name="Springfield",
            source="bibliotheca",
            library_id="lib",
            account_id="account",
            account_key=SecretStr("key"),
            base_url=wire.url,
            sync=Sync(timeout=timedelta(seconds=5), requests_per_second=10_000),
        ),
        hosts,
    )


def test_an_item_is_read_with_its_text_unescaped_twice():
    item = read(ITEM, ["d5rf89"], vendor="The vendor").described["d5rf89"]

    assert item.control_number == "d5rf89"
    assert item.title == "Siege & Storm"
    assert item.subtitle == ""
    assert item.authors == (
        Author("Bardugo, Leigh"),
        Author("O'Hara, Anne", "Narrator"),
        Author("B&B"),
    )
    assert item.genres == ("YOUNG ADULT FICTION / Fantasy", "FICTION / Love & Romance")
    assert item.published == "2013"
    assert (item.copies, item.available, item.holds) == (3, None, 0)
    assert item.format == "EPUB3"
    assert item.publisher == "Holt"
    assert item.other == {"NumberOfPages": "435"}


def test_copies_and_holds_are_no_part_of_a_description():
    """They change by the hour; a description that did would be written anew each time."""
    lent = ITEM.replace(b"<OnHoldCount>0", b"<AvailableCopies>0</AvailableCopies><OnHoldCount>7")

    [before, after] = [
        read(body, ["d5rf89"], vendor="The vendor").described["d5rf89"].described()
        for body in (ITEM, lent)
    ]

    assert before == after
    assert b"Siege & Storm" in before.document


def test_a_description_differs_where_a_word_of_it_does():
    other = ITEM.replace(b"435", b"436")

    [before, after] = [
        read(body, ["d5rf89"], vendor="The vendor").described["d5rf89"].described()
        for body in (ITEM, other)
    ]

    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize(
    ("sent", "title"),
    [
        (b"Rock &ldquo;n&rdquo; Roll", "Rock \u201cn\u201d Roll"),
        (b"R&D & more", "R&D & more"),
        (b"A&#38;B &#1; &#60;i&#62;", "A&B <i>"),
        (b"A\x00B\x1f", "A B"),
        ("Caf\u00e9".encode(), "Caf\u00e9"),
        ("Caf\u00e9".encode("latin-1"), "Caf\u00e9"),
        (b"Fish &amp;notes", "Fish &notes"),
        (b"&lt;b&gt;", "<b>"),
        (b"&unknown; thing", "&unknown; thing"),
    ],
)
def test_damaged_text_does_not_cost_the_answer(sent, title):
    assert one(sent).title == title


async def test_every_title_asked_for_is_described_or_absent(wire, source):
    wire.say(answer(body=listed("c", "a", "never asked for")))

    items = await source.items(["a", "b/1", "c"])

    assert set(items.described) == {"a", "c"}
    assert items.absent == ("b/1",)
    assert wire.targets == ["/cirrus/library/lib/items/a,b%2F1,c"]


async def test_a_list_without_items_leaves_all_titles_absent(wire, source):
    wire.say(answer(body=b"<ArrayOfItem/>"))

    items = await source.items(["a", "b"])

    assert items.described == {}
    assert items.absent == ("a", "b")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", "blank"),
        (b" \n", "blank"),
        (b"<Error><Code>Gen-001</Code><Message>Unknown error</Message></Error>", "error_document"),
        (b"<html><body>Back soon</body></html>", "not_items"),
        (b"<!DOCTYPE a><ArrayOfItem/>", "not_items"),
        (listed("a")[:-5], "not_items"),
        (listed("a") + b"<more/>", "not_items"),
        (listed("a", ""), "not_items"),
        (b"<collection/>", "not_items"),
        (b"OK", "not_items"),
    ],
)
async def test_whatever_is_no_list_says_nothing_about_any_title(wire, source, body, outcome):
    wire.say(answer(body=body))

    with pytest.raises(SourceBusy) as raised:
        await source.items(["a"])

    assert raised.value.outcome == outcome


@pytest.mark.parametrize("status", [404, 500, 204])
async def test_no_status_but_200_says_anything_about_a_title(wire, source, status):
    wire.say(answer(status))

    with pytest.raises(SourceBusy) as raised:
        await source.items(["a"])

    assert raised.value.outcome == f"http_{status}"


@pytest.mark.parametrize("count", [0, LOOKUP_SIZE + 1])
async def test_a_look_up_takes_1_to_25_titles(source, count):
    with pytest.raises(ValueError, match="1 to 25 titles"):
        await source.items([f"{number}" for number in range(count)])
