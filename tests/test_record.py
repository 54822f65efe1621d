"""What is taken from a MARC record for people to look for, and what its fingerprint holds."""

import orjson
import pymarc
import pytest

from bibsync.record import fingerprint, from_marc

LEADER = "01034nam a22002413a 4500"
FIXED = "210402s2013    xxu     o      |||||eng|d"


def control(tag, text):
    return pymarc.Field(tag, data=text)


def field(tag, *pairs, indicators="  "):
    subfields = [pymarc.Subfield(pair[0], pair[1:]) for pair in pairs]
    return pymarc.Field(tag, pymarc.Indicators(*indicators), subfields)


def marc(*fields, leader=LEADER):
    made = pymarc.Record(fields=[control("001", "a"), *fields])
    made.leader = pymarc.Leader(leader)
    return made


def taken(*fields, leader=LEADER):
    return from_marc(marc(*fields, leader=leader), raw_hash=b"raw", repairs=("cp1252",))


def test_a_record_with_nothing_but_a_number_has_empty_columns():
    told = taken()

    assert (told.control_number, told.raw_hash, told.repairs) == ("a", b"raw", ("cp1252",))
    assert (told.title, told.author, told.isbns, told.publisher) == ("", "", (), "")
    assert (told.published, told.language, told.subjects) == ("", "", ())
    assert (told.format, told.cover_url, told.material_type) == ("", "", "book")


def test_marc_is_the_record_as_received():
    told = taken(control("005", "20210402"), field("245", "aTitle /", indicators="10"))

    assert orjson.loads(told.marc) == {
        "leader": LEADER,
        "fields": [
            {"001": "a"},
            {"005": "20210402"},
            {"245": {"ind1": "1", "ind2": "0", "subfields": [{"a": "Title /"}]}},
        ],
    }


TITLES = [
    (["aSiege and Storm", "h[electronic resource] :", "cBardugo, Leigh."], "Siege and Storm"),
    (["aTitle :", "bits rest /", "cby someone"], "Title : its rest"),
    (["aFaust.", "nPart 1,", "pThe first ;"], "Faust. Part 1, The first"),
    (["a Title ", "b "], "Title"),
    (["bOnly this"], "Only this"),
    (["aWhat? :", "h[x]"], "What?"),
    (["a:"], ""),
]


@pytest.mark.parametrize(("subfields", "title"), TITLES)
def test_the_title_is_245_without_medium_responsibility_and_closing_punctuation(subfields, title):
    assert taken(field("245", *subfields)).title == title


AUTHORS = [
    (field("100", "aBardugo, Leigh.", "4aut"), "Bardugo, Leigh"),
    (field("100", "aTolkien, J. R. R.,", "d1892-1973."), "Tolkien, J. R. R."),
    (field("100", "aKing, M. L., Jr."), "King, M. L., Jr."),
    (field("100", "aJohn Paul", "bII,", "cPope,", "d1920-2005."), "John Paul II, Pope"),
    (field("110", "aUnited States.", "bArmy."), "United States. Army"),
    (field("111", "aSymposium (Oslo)."), "Symposium (Oslo)"),
    (field("700", "aSomebody else"), ""),
]


@pytest.mark.parametrize(("entry", "author"), AUTHORS)
def test_the_author_is_the_main_entry(entry, author):
    assert taken(entry).author == author


def test_isbns_are_bare_and_each_stands_once():
    told = taken(
        field("020", "a978-0-8050-9711-5 (hardcover)"),
        field("020", "a9780805097115"),
        field("020", "a080442957x :", "c$5"),
        field("020", "aISBN 0 8044 2957 X"),
        field("020", "a12345"),
        field("020", "a9.99"),
        field("020", "z9780805094602"),
        field("776", "z9780805094602"),
    )

    assert told.isbns == ("9780805097115", "080442957X")


PUBLISHERS = [
    ([field("260", "a[S.l.] :", "bHolt and Co. (BYR),", "c2013.")], "Holt and Co. (BYR)"),
    ([field("264", "bPress,", indicators=" 1")], "Press"),
    ([field("264", "bPrinter", indicators=" 3"), field("260", "bPress")], "Press"),
    ([field("264", "bPrinter", indicators=" 3")], ""),
]


@pytest.mark.parametrize(("fields", "publisher"), PUBLISHERS)
def test_the_publisher_is_that_of_260_or_of_264_for_publication(fields, publisher):
    assert taken(*fields).publisher == publisher


YEARS = [
    ([control("008", FIXED), field("260", "c2012.")], "2013"),
    ([control("008", FIXED.replace("2013", "201u")), field("260", "c[2012?]")], "2012"),
    ([control("008", FIXED[:8]), field("264", "c\u00a92011", indicators=" 1")], "2011"),
    ([field("260", "c[n.d.]")], ""),
]


@pytest.mark.parametrize(("fields", "year"), YEARS)
def test_the_year_is_that_of_008_else_of_the_statement_of_publication(fields, year):
    assert taken(*fields).published == year


LANGUAGES = [
    ([control("008", FIXED), field("041", "afre")], "eng"),
    ([control("008", FIXED.replace("eng", "|||")), field("041", "afreeng")], "fre"),
    ([control("008", FIXED.replace("eng", "ENG"))], "eng"),
    ([control("008", FIXED[:20])], ""),
]


@pytest.mark.parametrize(("fields", "language"), LANGUAGES)
def test_the_language_is_that_of_008_else_the_first_of_041(fields, language):
    assert taken(*fields).language == language


def test_subjects_are_joined_with_their_subdivisions_and_each_stands_once():
    told = taken(
        field("650", "aCats", "vFiction."),
        field("600", "aShakespeare, William,", "d1564-1616", "xTravel", "zItaly", "yTo 1600"),
        field("651", "aItaly."),
        field("650", "aCats", "vFiction", "2lcsh"),
        field("650", "2lcsh"),
        field("072", "aYAF000000"),
    )

    assert told.subjects == (
        "Cats -- Fiction",
        "Shakespeare, William, 1564-1616 -- Travel -- Italy -- To 1600",
        "Italy",
    )


FORMATS = [
    ([field("538", "aFormat: Adobe EPUB")], "EPUB"),
    ([field("538", "aFormat: EPUB3")], "EPUB3"),
    ([field("538", "aFormat: Adobe PDF"), field("347", "aaudio file", "bMP3")], "MP3"),
    ([field("856", "qapplication/epub+zip")], "EPUB"),
    ([field("856", "qaudio/mpeg")], "MP3"),
    ([field("538", "aRequires: cloudLibrary (file size: 4.3 MB)")], ""),
    ([field("300", "a1 online resource (PDF)")], "PDF"),
]


@pytest.mark.parametrize(("fields", "name"), FORMATS)
def test_the_format_is_the_most_exact_that_the_record_names(fields, name):
    assert taken(*fields).format == name


ICON = field("856", "3cloudLibrary Icon", "uhttps://v/Icon_50x50.png", indicators="42")
COVERS = [
    ([field("856", "3cloudLibrary", "uhttps://v/1"), ICON], ""),
    ([ICON, field("856", "3Cover Image", "uhttps://v/img?1&2", "xlibry")], "https://v/img?1&2"),
    ([ICON, field("856", "zBook jacket", "uhttps://v/2")], "https://v/2"),
    ([ICON, field("856", "xImage", "uhttps://v/3")], "https://v/3"),
    ([ICON, field("856", "uhttps://v/4.JPG?w=1")], "https://v/4.JPG?w=1"),
    ([field("856", "3Cover Image")], ""),
]


@pytest.mark.parametrize(("fields", "address"), COVERS)
def test_the_cover_is_what_is_labelled_so_else_an_image_but_never_an_icon(fields, address):
    assert taken(*fields).cover_url == address


ONLINE = control("007", "cr unu||||||||")
MATERIALS = [
    ("am", [], "book"),
    ("am", [ONLINE], "ebook"),
    ("am", [control("006", "m     o  d |      ")], "ebook"),
    ("am", [control("008", FIXED)], "ebook"),
    ("am", [control("007", "ta")], "book"),
    ("am", [ONLINE, control("007", "sz zunznnnzneu")], "audiobook"),
    ("am", [control("007", "sd fsngnnmmned")], "book"),
    ("im", [ONLINE], "audiobook"),
    ("as", [ONLINE], "serial"),
    ("ai", [], "serial"),
    ("jm", [], "music"),
    ("gm", [], "video"),
    ("em", [], "map"),
    ("cm", [], "score"),
    (" m", [], ""),
]


@pytest.mark.parametrize(("kind", "fields", "word"), MATERIALS)
def test_the_material_is_what_leader_006_007_and_008_say(kind, fields, word):
    told = taken(*fields, leader=LEADER.replace("am", kind, 1))

    assert told.material_type == word


def described(*fields, leader=LEADER, stamp="20210402", order=0):
    rest = [field("650", "a1"), field("650", "a2"), field("072", "a3")]
    stamps = [control("005", stamp), control("008", FIXED)]
    return marc(*stamps, *rest[order:], *rest[:order], *fields, leader=leader)


def test_what_the_vendor_makes_at_request_time_is_no_content():
    later = described(stamp="20990101")
    later.get_fields("008")[0].data = "990101" + FIXED[6:]

    assert fingerprint(described()) == fingerprint(later)


def test_lengths_and_the_order_of_tags_are_no_content():
    same = described(leader="99999nam a22999993a 4500", order=2)

    assert fingerprint(described()) == fingerprint(same)


DIFFERENT = {
    "status": described(leader=LEADER.replace("nam", "dam")),
    "encoding level": described(leader=LEADER.replace("3a 4500", "1a 4500")),
    "another field": described(field("650", "a4")),
    "the order of two of one tag": described(order=1),
    "another 008": described(control("008", FIXED.replace("eng", "fre"))),
}


@pytest.mark.parametrize("other", DIFFERENT.values(), ids=DIFFERENT)
def test_everything_else_is_content(other):
    assert fingerprint(described()) != fingerprint(other)


CHANGES = {
    "indicator": field("245", "aTitle", indicators="1 "),
    "code": field("245", "bTitle"),
    "value": field("245", "atitle"),
    "a blank": field("245", "aTitle "),
    "subfields": field("245", "aTi", "atle"),
    "tag": field("246", "aTitle"),
    "composed characters": field("245", "aTitl\u00e9"),
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_every_part_of_a_field_counts(changed):
    plain = field("245", "aTitle")

    assert fingerprint(marc(plain)) != fingerprint(marc(changed))
