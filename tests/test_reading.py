"""One reading of a window, against a vendor's list in memory that may move between answers."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import assume, given, settings, strategies as st

from bibsync.reading import MOST_PASSES, MOST_SHIFTS, Reading, Verdict

PAGE = 6
Names = Sequence[str]


def named(count: int, *, start: int = 0) -> list[str]:
    return [f"k{n:03d}" for n in range(start, start + count)]


@dataclass
class Reader:
    """Reads a list as a perusal does; `taken` is what it would store, in order.

    `between` is called with the number of the request that is about to be answered; `short`
    gives the length of each answer.
    """

    names: list[str]
    reading: Reading = field(default_factory=lambda: Reading(PAGE))
    between: Callable[[int, list[str]], None] = lambda *_: None
    short: Callable[[], int] = lambda: PAGE
    taken: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def ask(self) -> Verdict:
        self.between(len(self.verdicts), self.names)
        first = self.reading.offset - 1
        answer = self.names[first : first + self.short()]
        verdict, known = self.reading.take(list(answer))
        self.taken += answer[known:]
        self.verdicts.append(verdict)
        return verdict

    def until(self, *ends: Verdict, most: int = 400) -> Verdict:
        while len(self.verdicts) < most:
            verdict = self.ask()
            if verdict in ends:
                return verdict
        raise AssertionError(f"a reading doesn't end: {self.verdicts[-5:]}")

    def to_the_end(self) -> Verdict:
        """Read on as a perusal does that may not halve: after three shifts, loosely."""
        while len(self.verdicts) < 400:
            verdict = self.until(Verdict.ENDED, Verdict.UNSTABLE, Verdict.SHIFTED)
            if verdict is not Verdict.SHIFTED:
                return verdict
            if self.reading.shifts >= MOST_SHIFTS:
                self.reading.loosen()
        raise AssertionError(f"a reading doesn't end: {self.verdicts[-5:]}")


def marked(flags: Iterable[bool]) -> list[str]:
    """Return distinct names; where the flag is unset, those of records that aren't identified."""
    return [f"{'k' if flag else '#'}{n:03d}" for n, flag in enumerate(flags)]


lists = st.lists(st.booleans(), max_size=40).map(marked)
by_property = settings(deadline=None)


@by_property
@given(lists, st.integers())
def test_a_list_that_stands_still_is_taken_exactly_once(names: list[str], seed: int):
    """Whatever mix of records with and without control numbers, and of short answers."""
    random = Random(seed)
    reader = Reader(names, short=lambda: random.randint(2, PAGE))

    verdict = reader.until(Verdict.ENDED, Verdict.SHIFTED, Verdict.UNSTABLE)

    assert verdict is Verdict.ENDED
    assert names == reader.taken
    assert len(names) == reader.reading.names()[0]


@by_property
@given(lists, st.integers())
def test_a_list_that_stands_still_is_whole_in_a_loose_reading_too(names: list[str], seed: int):
    random = Random(seed)
    reader = Reader(names, short=lambda: random.randint(2, PAGE))
    reader.reading.loosen()

    assert reader.to_the_end() is Verdict.ENDED

    assert set(names) == set(reader.taken)
    assert reader.verdicts.count(Verdict.AGAIN) == 1


@by_property
@given(st.data())
def test_whatever_moves_the_last_key_is_noticed(data: st.DataObject):
    """A record that comes or goes at or before the last key moves the positions behind it."""
    names = named(data.draw(st.integers(PAGE + 1, 30), "records"))
    reader = Reader(names)
    for _ in range(data.draw(st.integers(1, (len(names) - 2) // (PAGE - 1)), "pages before")):
        reader.ask()
    assume(reader.verdicts[-1] is Verdict.MORE)
    at = data.draw(st.integers(0, reader.reading.last_pos - 1), "place")
    if data.draw(st.booleans(), "inserted"):
        names.insert(at, "new")
    else:
        del names[at]

    assert reader.ask() is Verdict.SHIFTED

    assert reader.until(Verdict.ENDED, Verdict.SHIFTED) is Verdict.ENDED
    assert set(names) <= set(reader.taken)


@by_property
@given(st.integers(1, 25), st.integers(0, 25))
def test_what_comes_behind_the_last_key_is_no_shift_and_is_taken(count: int, place: int):
    names = named(count)
    reader = Reader(names)
    reader.ask()
    names.insert(min(max(place, reader.reading.last_pos), len(names)), "new")

    verdict = reader.until(Verdict.ENDED, Verdict.SHIFTED)

    assert verdict is Verdict.ENDED
    assert Counter(names) == Counter(reader.taken)


@by_property
@given(st.integers(0, 30), st.integers(), st.integers(0, 12))
def test_nothing_that_stays_is_lost_while_others_come_and_go(count: int, seed: int, moves: int):
    """Each answer may find the list moved; the moves end before the passes do."""
    random = Random(seed)
    names = named(count)
    stay = set(names[::2])

    def move(request: int, names: list[str]) -> None:
        if request >= moves:
            return
        leaving = [name for name in names if name not in stay]
        if leaving and random.random() < 0.5:
            names.remove(random.choice(leaving))
        else:
            names.insert(random.randint(0, len(names)), f"new{request}")

    reader = Reader(names, between=move)

    verdict = reader.to_the_end()

    assert verdict in {Verdict.ENDED, Verdict.UNSTABLE}
    if verdict is Verdict.ENDED:
        assert stay <= set(reader.taken)


@by_property
@given(st.integers(), st.booleans())
def test_no_list_however_mad_is_read_for_ever(seed: int, blanks: bool):  # noqa: FBT001 - hypothesis draws it
    """Each answer is drawn afresh: other records, repeats, empty, short, blank."""
    random = Random(seed)
    reading = Reading(PAGE)
    for _ in range(400):
        if blanks and random.random() < 0.2:
            verdict = reading.take_blank()
        else:
            names = random.choices([*named(20), "#1", "#2"], k=random.randint(0, PAGE))
            verdict, known = reading.take(list(names))
            assert 0 <= known <= len(names)
        if verdict in {Verdict.ENDED, Verdict.UNSTABLE}:
            return
        if verdict is Verdict.SHIFTED and reading.shifts >= MOST_SHIFTS:
            reading.loosen()
    raise AssertionError("it is still being read")


def test_an_empty_first_answer_is_the_end():
    reader = Reader([])

    assert reader.ask() is Verdict.ENDED


def test_a_blank_first_answer_is_the_end():
    assert Reading(PAGE).take_blank() is Verdict.ENDED


def test_one_record_is_asked_for_once_more_at_offset_one():
    reader = Reader(["only"])

    assert reader.ask() is Verdict.MORE
    assert reader.reading.offset == 1
    assert reader.ask() is Verdict.ENDED
    assert reader.taken == ["only"]


@pytest.mark.parametrize("blank", [False, True], ids=["empty", "blank"])
def test_nothing_where_something_was_is_a_shift(blank: bool):  # noqa: FBT001 - parametrised
    reader = Reader(named(PAGE))
    reader.ask()

    verdict = reader.reading.take_blank() if blank else reader.reading.take([])[0]

    assert verdict is Verdict.SHIFTED
    assert reader.reading.offset == 1


def test_what_an_earlier_run_received_may_have_been_withdrawn_since():
    resumed = Reading.resumed(PAGE, last_key="gone", last_pos=1)

    first, again = resumed.take([])[0], resumed.take([])[0]

    assert (first, again) == (Verdict.SHIFTED, Verdict.ENDED)


def test_a_blank_answer_is_no_end_of_what_gave_an_earlier_run_records():
    resumed = Reading.resumed(PAGE, last_key="k50", last_pos=50)

    verdicts = [resumed.take([])[0], resumed.take_blank()]

    assert verdicts == [Verdict.SHIFTED] * 2


def test_the_last_identified_record_is_asked_for_again():
    reader = Reader(["k1", "k2", "k3", "#a", "#b"])

    reader.ask()

    assert (
        reader.reading.last_key,
        reader.reading.offset,
        reader.reading.received,
    ) == ("k3", 3, 5)


def test_a_page_without_a_control_number_is_held_by_its_last_reject():
    reader = Reader(["#1", "#2", "#3", "k4"], short=lambda: 3)

    reader.ask()

    assert (reader.reading.last_key, reader.reading.offset) == ("#3", 3)


@pytest.mark.parametrize("short", [2, 3])
def test_an_answer_that_reaches_only_what_was_received_is_not_the_end(short: int):
    """Rejects behind the last key fill a short answer: what is behind them was not reached."""
    answers = iter([5, short, *[PAGE] * 9])
    reader = Reader(["k1", "k2", "k3", "#a", "#b", "k4"], short=lambda: next(answers))

    reader.until(Verdict.ENDED, Verdict.SHIFTED)

    assert reader.names == reader.taken


def test_a_control_number_of_another_page_is_a_shift_and_the_same_one_again_is_not():
    """Two records with one number, pages apart, are the vendor's data: accepted when met again."""
    reader = Reader([*named(8), "k001", *named(4, start=20)])

    reader.until(Verdict.ENDED)

    assert reader.reading.shifts == 1
    assert set(reader.names) == set(reader.taken)


def test_another_repeated_number_after_a_shift_is_a_shift_again():
    reader = Reader([*named(8), "k001", *named(8, start=20), "k002"])

    reader.until(Verdict.ENDED)

    assert reader.reading.shifts == 2


def test_doubles_on_one_page_are_no_shift():
    reader = Reader(["k1", "k1", "k2", "k1"])

    reader.until(Verdict.ENDED)

    assert reader.reading.shifts == 0


def test_a_resumed_reading_begins_with_its_last_key():
    names = named(20)
    reader = Reader(names, Reading.resumed(PAGE, last_key="k010", last_pos=11))

    assert reader.until(Verdict.ENDED, Verdict.SHIFTED) is Verdict.ENDED

    assert names[11:] == reader.taken
    assert reader.reading.names() is None


def test_a_resumed_reading_notices_that_the_list_moved_meanwhile():
    names = ["new", *named(20)]
    reader = Reader(names, Reading.resumed(PAGE, last_key="k010", last_pos=11))

    assert reader.ask() is Verdict.SHIFTED
    assert reader.until(Verdict.ENDED, Verdict.SHIFTED) is Verdict.ENDED

    assert set(names) == set(reader.taken)
    assert len(names) == reader.reading.names()[0]


def test_a_reading_without_a_last_key_is_resumed_from_the_start():
    reader = Reader(named(9), Reading.resumed(PAGE, last_key=None, last_pos=0))

    reader.until(Verdict.ENDED)

    assert reader.names == reader.taken
    assert reader.reading.names()[0] == 9


def test_names_don_t_depend_on_the_order_or_on_the_pages():
    one, other = Reader(named(20)), Reader(named(20)[::-1], Reading(11), short=lambda: 11)

    one.until(Verdict.ENDED)
    other.until(Verdict.ENDED)

    assert one.reading.names() == other.reading.names()


def test_names_differ_when_one_record_does():
    one, other = Reader(named(20)), Reader([*named(19), "other"])

    one.until(Verdict.ENDED)
    other.until(Verdict.ENDED)

    assert one.reading.names() != other.reading.names()


def test_a_loose_reading_is_accepted_after_two_passes_that_agree():
    reader = Reader(named(9))
    reader.reading.loosen()

    reader.until(Verdict.ENDED)

    assert reader.reading.passes == 2


def test_a_loose_reading_goes_on_until_two_passes_in_a_row_agree():
    def change(request: int, names: list[str]) -> None:
        if reader.reading.passes == 1 and "late" not in names:
            names.insert(0, "late")

    reader = Reader(named(9), between=change)
    reader.reading.loosen()

    reader.until(Verdict.ENDED)

    assert reader.reading.passes == 3
    assert {*named(9), "late"} == set(reader.taken)


def test_a_loose_reading_fails_when_no_two_of_four_passes_agree():
    def change(request: int, names: list[str]) -> None:
        names[:] = named(9, start=9 * reader.reading.passes)

    reader = Reader(named(9), between=change)
    reader.reading.loosen()

    assert reader.until(Verdict.ENDED, Verdict.UNSTABLE) is Verdict.UNSTABLE
    assert reader.reading.passes == MOST_PASSES


def test_a_blank_answer_in_a_loose_reading_is_not_believed_at_once():
    """Records were received before, else it wouldn't be loose."""
    reader = Reader(named(9))
    reader.reading.loosen()
    reader.until(Verdict.AGAIN)

    assert reader.reading.take_blank() is Verdict.AGAIN
    assert reader.until(Verdict.ENDED) is Verdict.ENDED
