"""What the library buys, when the vendor shows it, and what becomes of it later."""

from datetime import datetime, timedelta
from random import Random

from tests.simulation.vendor import NEVER, Title

DAY_S = 86400.0
LATEST_S = 64 * DAY_S - 3600.0
"""A title that the vendor shows later than the last age at which a day is read again is lost."""
LATE_S = (60.0, 7200.0, DAY_S, 7 * DAY_S, 30 * DAY_S, LATEST_S)
OLDEST_S = 100 * DAY_S
AMID = 60
"""Something may happen to a title when so many pages at most were asked for, amid a window."""


def stock(draw: Random, epoch: datetime, begin_s: float, *, vendor_ahead_s: float) -> list[Title]:
    """Draw the titles that are bought from `epoch` on; the first run is at second `begin_s`."""
    titles = []
    for number in range(draw.choice((5, 10, 18, 28))):
        bought = _bought(draw, begin_s)
        shown = max(0.0, bought - vendor_ahead_s)
        title = Title(
            f"t{number:03d}",
            epoch + timedelta(seconds=int(bought)),
            shown,
            shown,
            controls=draw.choices((1, 0, 2), (90, 5, 5))[0],
        )
        _appear(draw, title)
        _change(draw, title)
        titles.append(title)
    return titles


def old_stock(draw: Random, epoch: datetime) -> list[Title]:
    """Draw titles that were bought so long ago that no age has their days read again."""
    titles = []
    for number in range(draw.randint(2, 6)):
        bought = epoch - timedelta(seconds=int(draw.uniform(70 * DAY_S, OLDEST_S)))
        titles.append(Title(f"o{number:03d}", bought, 0.0, 0.0))
    return titles


def _appear(draw: Random, title: Title) -> None:
    """Draw when the vendor shows it, and whether it takes it away again."""
    match draw.choices(("prompt", "late", "late amid", "withdrawn amid"), (66, 18, 7, 9))[0]:
        case "late":
            title.shown_from += draw.random() * draw.choice(LATE_S)
            title.disturb(title.shown_from)
        case "late amid":
            title.shown_from = NEVER
            title.amid["shown"] = draw.randint(1, AMID)
        case "withdrawn amid":
            title.amid["withdrawn"] = draw.randint(1, AMID)


def _change(draw: Random, title: Title) -> None:
    """Draw when its record changes; that of a reject never does."""
    if title.controls != 1:
        return
    if draw.random() < 0.2:
        title.edited.append(title.settled_from + draw.uniform(0.0, 3 * DAY_S))
    if draw.random() < 0.3:
        title.amid["edited"] = draw.randint(1, AMID)
    if draw.random() < 0.15:
        title.restless = draw.randint(1, 6)


def _bought(draw: Random, begin_s: float) -> float:
    """Draw a second of the vendor's clock, often one at which windows begin and end."""
    match draw.choices(("whenever", "midnight", "while runs go on"), (60, 28, 12))[0]:
        case "midnight":
            return draw.randint(1, 3) * DAY_S - draw.choice((0.0, 1.0))
        case "while runs go on":
            return begin_s + 600.0 * draw.random()
    return draw.uniform(0.0, begin_s + DAY_S)
