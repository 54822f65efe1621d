"""What fuzzing starts from: made-up answers of every kind, and real records where there are any."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LARGEST = 6_000
"""Of a real file no more is taken: a mutation of the rest would hardly ever matter."""

RECORD: Final = (
    b"<marc:record><marc:leader>01034nam a22002413a 4500</marc:leader>"
    b'<marc:controlfield tag="001">d5rf89</marc:controlfield>'
    b'<marc:controlfield tag="005">20241110120000.0</marc:controlfield>'
    b'<marc:controlfield tag="008">241110s2013||||||||||||o|||||||||||eng|d</marc:controlfield>'
    b'<marc:datafield tag="245" ind1="1" ind2="0"><marc:subfield code="a">Caf\xc3\xa9 &amp; &#xe9;'
    b"</marc:subfield></marc:datafield></marc:record>"
)
PAGE: Final = (
    b'<?xml version="1.0" encoding="UTF-8" ?>'
    b'<marc:collection xmlns:marc="http://www.loc.gov/MARC21/slim">%b</marc:collection>'
)
ODD: Final = (
    b"<collection><!-- <record> --><record><leader/><controlfield tag='001'>a</controlfield>"
    b"<datafield tag=\"245\" ind1='1' ind2='0'><subfield code='a'><![CDATA[<b>]]></subfield>"
    b"</datafield></record>\n<m:record/></collection>"
)
EMPTY: Final = b'<collection xmlns="http://www.loc.gov/MARC21/slim"><!-- none --></collection>'
ERROR: Final = b"<Error><Code>Gen-001</Code><Message>Authentication failed</Message></Error>"
LAUGHS: Final = b'<!DOCTYPE c [<!ENTITY a "b"><!ENTITY % p SYSTEM "file:///x">]><c>&a;</c>'
HTML: Final = b"<!DOCTYPE html><html><body><h1>We'll be back soon</h1></body></html>"
PAGES: Final = (PAGE % (RECORD * 2), PAGE % b"", ODD, EMPTY, ERROR, LAUGHS, HTML, b"", b" \0\n")
ITEM: Final = (
    b"<ArrayOfItem><Item><ItemId>d5rf89</ItemId><Title>Siege &amp; Storm</Title>"
    b"<Authors>Bardugo, Leigh;O&amp;#39;Hara, Anne (Narrator)</Authors><Genre>A,B</Genre>"
    b"<TotalCopies>3</TotalCopies><OnHoldCount>0</OnHoldCount><Pages>435</Pages></Item></ArrayOfItem>"
)
BINARY: Final = (
    b"00098nam a2200049 a 4500001000700000245002200007\x1e"
    b"d5rf89\x1e10\x1faSiege & Storm /\x1fc.\x1e\x1d"
)
HEADS: Final = (
    b"200\ncharset: utf-8\n\n",
    b"503\nRetry-After: 120\nDate: Sun, 10 Nov 2024 10:00:00 GMT\n\n",
    b"302\nLocation: https://elsewhere.example:8443/path?query\n\n",
    b"401\nDate: Sun, 10 Nov 2024 11:00:00 +0100\n\n",
    b"429\nRetry-After: Sun, 10 Nov 2024 10:00:00 GMT\n\n",
)
CONFIGURATION: Final = b"""timezone = "Europe/Vienna"
[database]
url = "postgresql://me:word@host/db"
[redis]
url = "redis+sentinel://:word@a:1,b/main/1?sentinel_password=x"
[sync]
start_date = 2014-01-01
reread = ["1d", "2d"]
max_deletes = "5%"
[[schedules]]
job = "purchases"
cron = "*/15 2-4 * * mon"
timezone = "UTC"
[[collections]]
name = "Springfield"
source = "bibliotheca"
library_id = "x"
account_id = "y"
account_key = { file = "key" }
"""
TOKENS: Final = (
    *(b"<", b">", b"/>", b"</", b"&", b"&#0;", b"&#x110000;", b"&amp;", b"<!--", b"-->"),
    *(b"<![CDATA[", b"]]>", b"<?", b"?>", b"<record>", b"</record>", b"<collection>"),
    *(
        b"</collection>",
        b"<m:record ",
        b' tag="001"',
        b"<!DOCTYPE",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(
        b"\x1d",
        b"\x1e",
        b"\x1f",
        b"\x1b",
        b"99999",
        b"-1",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"=",
        b'"',
    ),
    *(b"[", b"]", b"\n", b"''", b'"""', b"nan", b"9" * 400, b"<Item>", b"<ItemId>", b"Error"),
)
"""What means something to one of the readers."""


def of(target: str, samples: Path | None = None) -> list[bytes]:
    """Return the seeds of a target, real ones from `samples` among them."""
    return [*_MADE_UP[target], *(_real(target, samples) if samples else ())]


def _real(target: str, samples: Path) -> list[bytes]:
    kinds = {"page": {".xml"}, "file_of_xml": {".xml"}, "binary": {".mrc", ".dat", ".marc"}}
    wanted = kinds.get(target, set())
    files = sorted(each for each in samples.glob("*/*") if each.suffix in wanted)
    return [file.read_bytes()[:LARGEST] for file in files]


_MADE_UP: Final[Mapping[str, tuple[bytes, ...]]] = {
    "page": (*PAGES, (PAGE % RECORD).decode().encode("utf-16"), PAGE % RECORD.replace(b"o", b"&")),
    "answer": tuple(head + body for head in HEADS for body in PAGES),
    "look_up": (ITEM, b"<ArrayOfItem/>", ERROR, HTML, LAUGHS, ITEM.replace(b"amp;", b"")),
    "packed": (gzip.compress(RECORD), gzip.compress(b"") * 3 + gzip.compress(bytes(2_000_000))),
    "binary": (BINARY * 2, BINARY[:-1] + b"\n" + BINARY, BINARY.replace(b" a2", b"  2") + RECORD),
    "file_of_xml": (RECORD, PAGE % RECORD, b"<OAI><record>%b</record></OAI>" % RECORD, ODD, LAUGHS),
    "configuration": (CONFIGURATION, json.dumps(CONFIGURATION.decode()).encode(), b""),
}
