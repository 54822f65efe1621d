"""Faults: how often the vendor goes wrong in which way.

Three groups, which `Faults` lists in this order. Of the first, at most one befalls an answer,
instead of the right one (answers.py). The second changes which records a page holds (page.py).
The third is harmless: the page is right, only dressed differently, and a client must take it.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

from bibsync.errors import UsageWrong
from bibsync.simulator.answers import INSTEAD
from bibsync.simulator.chance import Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """A probability (0..1) for each kind of fault, for every answer anew.

    `blank_quiet` is different: it is the share of days on which a window without purchases is
    answered by an empty body, each time it is asked for.
    """

    http_500: float = 0.0
    http_502: float = 0.0
    http_504: float = 0.0
    http_503_retry_after: float = 0.0
    http_429: float = 0.0
    timeout: float = 0.0
    drip: float = 0.0
    reset: float = 0.0
    cut_body: float = 0.0
    cut_gzip: float = 0.0
    content_length_wrong: float = 0.0
    blank: float = 0.0
    error_document: float = 0.0
    error_document_500: float = 0.0
    html: float = 0.0
    foreign_xml: float = 0.0
    doctype: float = 0.0
    not_found: float = 0.0
    redirect: float = 0.0
    no_content: float = 0.0
    gzip_bomb: float = 0.0

    short_page: float = 0.0
    shift: float = 0.0
    unstable_order: float = 0.0
    duplicate: float = 0.0
    duplicate_over_pages: float = 0.0

    gzip: float = 0.0
    stray_gt: float = 0.0
    stray_declaration: float = 0.0
    wrong_content_type: float = 0.0
    other_prefix: float = 0.0
    no_prefix: float = 0.0
    latin1_declared: float = 0.0
    blank_quiet: float = 0.0

    def __post_init__(self) -> None:
        for name in KINDS:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageWrong(f"The probability of {name} must lie between 0 and 1.")
        if self.instead > 1:
            raise UsageWrong("The faults that replace an answer add up to more than 1.")

    @classmethod
    def none(cls) -> "Faults":
        """Return the vendor of one's dreams."""
        return cls()

    @classmethod
    def all(cls) -> "Faults":
        """Return a harsh mix: a sixth of all answers faulty, and every harmless quirk as well.

        Left out: `redirect`, at which a client must stop, and `drip`, which only costs time.
        """
        return _ALL

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Read `none`, `all`, or `kind=probability` pairs with commas between.

        The pairs may follow one of the two words and then change it: `all,timeout=0`.

        Raises:
            UsageWrong: a kind isn't known or a probability isn't one.
        """
        faults = cls()
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, probability = part.partition("=")
            if part in ("all", "none"):
                faults = cls.all() if part == "all" else cls.none()
            elif name not in KINDS:
                known = ", ".join(KINDS)
                raise UsageWrong(f"There is no fault {name!r}; there are all, none, {known}.")
            else:
                faults = replace(faults, **{name: _probability(name, probability)})
        return faults

    @property
    def instead(self) -> float:
        """The share of answers that a fault replaces or spoils as a whole."""
        return float(sum(getattr(self, name) for name in INSTEAD))

    def strike(self, chance: Chance) -> str | None:
        """Draw the fault that befalls an answer as a whole, None where none does."""
        place = chance.share()
        for name in INSTEAD:
            place -= getattr(self, name)
            if place < 0:
                return name
        return None


KINDS: Final = tuple(each.name for each in fields(Faults))


def _probability(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageWrong(f"The probability of {name} is no number: {text!r}.") from None


_ALL: Final = Faults(
    http_500=0.012,
    http_502=0.022,
    http_504=0.006,
    http_503_retry_after=0.004,
    http_429=0.004,
    timeout=0.004,
    reset=0.010,
    cut_body=0.010,
    cut_gzip=0.008,
    content_length_wrong=0.006,
    blank=0.010,
    error_document=0.014,
    error_document_500=0.008,
    html=0.010,
    foreign_xml=0.006,
    doctype=0.003,
    not_found=0.004,
    no_content=0.003,
    gzip_bomb=0.001,
    short_page=0.010,
    shift=0.006,
    unstable_order=0.002,
    duplicate=0.002,
    duplicate_over_pages=0.002,
    gzip=0.5,
    stray_gt=0.1,
    stray_declaration=0.02,
    wrong_content_type=0.05,
    other_prefix=0.05,
    no_prefix=0.05,
    latin1_declared=0.03,
    blank_quiet=0.3,
)
