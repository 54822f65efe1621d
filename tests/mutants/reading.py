"""What is taken out of asking and reading: what an answer proves, what is asked for again."""

from tests.mutants.mutant import Edit, Mutant, of

NOTHING_IS_LOST = (
    Mutant(
        name="a page that isn't full ends its window",
        guarantee=1,
        mechanism="a window ends only with an answer that holds nothing behind the last record",
        edits=(
            Edit(
                "bibsync/perusal.py",
                """\
                    answer = await self._store_and_ask_on(fresh, answer)
                    continue
""",
                """\
                    short = len(answer.page.records) < self._desk.source.page_size
                    answer = await self._store_and_ask_on(fresh, answer)
                    if short:
                        await self._cover(blank=False)
                        return
                    continue
""",
            ),
        ),
        tests=(of("tests/harvest/test_shifting_sets.py", "test_short_pages_lose_nothing"),),
    ),
    Mutant(
        name="an error document is a page without records",
        guarantee=1,
        mechanism="the root element is a MARC collection, or the answer says nothing",
        edits=(Edit("bibsync/marc/prolog.py", 'if local != b"collection":', "if False:"),),
        tests=(of("tests/marc/test_cut.py", "test_what_is_no_page_is_refused_by_its_kind"),),
    ),
    Mutant(
        name="a page that breaks off is a page",
        guarantee=1,
        mechanism="the end tag of the root is there",
        edits=(
            Edit(
                "bibsync/marc/page.py",
                """\
                raise NotAPage(Fault.CUT_SHORT, "the answer breaks off before the end of its root")
""",
                """\
                yield root, limit
                return
""",
            ),
        ),
        tests=(
            of("tests/marc/test_cut.py", "test_a_page_cut_anywhere_is_never_taken_for_a_whole_one"),
        ),
    ),
    Mutant(
        name="a collection that holds something else has no records",
        guarantee=1,
        mechanism="only a well-formed empty collection says that there are none",
        edits=(
            Edit("bibsync/marc/page.py", "    if not few:\n", "    if not few and few is None:\n"),
        ),
        tests=(of("tests/marc/test_cut.py", "test_what_is_no_page_is_refused_by_its_kind"),),
    ),
    Mutant(
        name="an answer that nobody asked for is the next one's",
        guarantee=1,
        mechanism="a connection on which the host spoke unasked is left",
        edits=(
            Edit(
                "bibsync/sources/http.py",
                "if conn.protocol is None or conn.protocol.should_close:",
                "if conn.protocol is None:",
            ),
        ),
        tests=(
            of(
                "tests/hostile/test_connections.py",
                "test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one",
            ),
        ),
    ),
    Mutant(
        name="a gzip stream that breaks off is whole",
        guarantee=1,
        mechanism="the compressed stream has ended",
        edits=(Edit("bibsync/sources/body.py", "if received and not stream.ended:", "if False:"),),
        tests=(of("tests/sources/test_body.py", "test_a_gzip_stream_must_have_ended"),),
    ),
    Mutant(
        name="what is covered is a date",
        guarantee=1,
        mechanism="coverage is a set of windows, so that a failed one stays a gap",
        edits=(
            Edit(
                "bibsync/store/lanes.py",
                "tstzmultirange(tstzrange($3, $4))",
                "tstzmultirange(tstzrange(least(from_at, $3), $4))",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_faults.py",
                "test_a_failed_window_costs_no_other_and_is_chosen_last_by_the_next_run",
            ),
        ),
    ),
    Mutant(
        name="a window that was begun isn't gone on with",
        guarantee=1,
        mechanism="a window that was begun is chosen first, behind its last page",
        edits=(
            Edit(
                "bibsync/choice.py",
                "if _resumable(known, each) and not any(",
                "if known is None and not any(",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_reference_behaviour.py",
                "test_row_08_a_crash_in_a_window_goes_on_behind_its_last_page",
            ),
        ),
    ),
)

NOTHING_IS_DROPPED = (
    Mutant(
        name="what can't be stored is passed over",
        guarantee=2,
        mechanism="every record received is stored, unchanged, or a reject",
        edits=(
            Edit(
                "bibsync/contents.py",
                "if isinstance(item.what, Reject)\n    ]",
                "if not item\n    ]",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_reference_behaviour.py",
                "test_row_10_a_record_without_one_control_number_is_kept_as_a_reject",
            ),
        ),
    ),
    Mutant(
        name="a record that PostgreSQL can't hold costs its page",
        guarantee=2,
        mechanism="a page that can't be stored is stored record by record",
        edits=(
            Edit("bibsync/perusal.py", "except store.UNSTORABLE:", "except ZeroDivisionError:"),
        ),
        tests=(
            of(
                "tests/harvest/test_faults.py",
                "test_a_record_that_postgresql_cannot_hold_costs_no_other",
            ),
        ),
    ),
    Mutant(
        name="a record without an end swallows the next one",
        guarantee=2,
        mechanism="a page is cut where a record begins, not only where one ends",
        edits=(
            Edit(
                "bibsync/marc/page.py",
                "limit = following if following >= 0 else end",
                "limit = end if following >= 0 else end",
            ),
        ),
        tests=(
            of(
                "tests/marc/test_cut.py",
                "test_whatever_begins_like_a_record_is_kept_and_costs_only_itself",
            ),
        ),
    ),
    Mutant(
        name="new titles aren't put on the list of look-ups",
        guarantee=2,
        mechanism="a title is listed by the transaction that stores its record",
        edits=(
            Edit(
                "bibsync/contents.py",
                "await titles.want(conn, collection, stored.new, place.now)",
                "await titles.want(conn, collection, (), place.now)",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_lookups.py",
                "test_a_title_is_listed_by_the_transaction_that_stores_its_record",
            ),
        ),
    ),
)

FOUND_LATE = (
    Mutant(
        name="no day is read again",
        guarantee=6,
        mechanism="each day is read again at ages of 1, 2, 4 ... 64 days",
        edits=(Edit("bibsync/store/days.py", "if not reread:", "if reread is not None:"),),
        tests=(
            of(
                "tests/harvest/test_clocks_apart.py",
                "test_a_late_title_is_found_when_its_day_is_read_again",
            ),
        ),
    ),
    Mutant(
        name="the last day isn't read again",
        guarantee=6,
        mechanism="every run reads the last 24 hours",
        edits=(
            Edit("bibsync/choice.py", "if memory.rolled_at is not None:", "if memory is not None:"),
        ),
        tests=(
            of(
                "tests/harvest/test_reference_behaviour.py",
                "test_row_02_a_later_run_reads_the_last_day_again",
            ),
        ),
    ),
    Mutant(
        name="our clock alone says what is past",
        guarantee=6,
        mechanism="nothing beyond the present of the earlier clock is covered",
        edits=(Edit("bibsync/source.py", "seconds=min(skew or 0.0, 0.0)", "seconds=0.0"),),
        tests=(
            of(
                "tests/harvest/test_clocks_apart.py",
                "test_nothing_beyond_the_vendors_present_is_covered",
            ),
        ),
    ),
)

SHIFTING = (
    Mutant(
        name="a page need not begin with the last record",
        guarantee=7,
        mechanism="every later page asks for the last record once more",
        edits=(
            Edit(
                "bibsync/reading.py",
                "if tuple(page[:known]) != self._overlap[: max(known, 1)]:",
                "if page is None:",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_shifting_sets.py",
                "test_a_title_withdrawn_while_paging_costs_no_other_title",
            ),
        ),
    ),
    Mutant(
        name="a window that is cut off goes on with the answer to the whole of it",
        guarantee=7,
        mechanism="a window that is cut to the vendor's present is asked for anew",
        edits=(
            Edit(
                "bibsync/perusal.py",
                "if self._piece.window != asked and answer.page.records:",
                "if asked is None:",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_clocks_apart.py",
                "test_a_title_from_beyond_the_vendors_present_does_not_unsettle_the_last_day",
            ),
        ),
    ),
    Mutant(
        name="a record of another page goes unnoticed",
        guarantee=7,
        mechanism="a control number that was on another page is a shift",
        edits=(Edit("bibsync/reading.py", "if repeats - self._repeats:", "if repeats is None:"),),
        tests=(
            of(
                "tests/test_reading.py",
                "test_a_control_number_of_another_page_is_a_shift_and_the_same_one_again_is_not",
            ),
        ),
    ),
    Mutant(
        name="a shifted window is read on",
        guarantee=7,
        mechanism="a window that shifted while it was read is read again from its start",
        edits=(
            Edit(
                "bibsync/reading.py",
                "        self.shifts += 1\n        self._begin()\n",
                "        self.shifts += 1\n",
            ),
        ),
        tests=(
            "tests/test_reading.py",
            "tests/harvest/test_shifting_sets.py",
        ),
    ),
    Mutant(
        name="an empty answer ends a window that gave records",
        guarantee=7,
        mechanism="once something was received, nothing is no end",
        edits=(
            Edit(
                "bibsync/reading.py",
                "return self._shift() if gave else Verdict.ENDED",
                "return Verdict.ENDED",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_shifting_sets.py",
                "test_a_blank_answer_after_the_first_page_ends_nothing",
            ),
        ),
    ),
)

ABSENCE = (
    Mutant(
        name="a blank answer is believed at once",
        guarantee=9,
        mechanism="a blank first answer is asked for twice more",
        edits=(
            Edit(
                "bibsync/ask.py",
                "for wait_s in self._blank_waits_s if first else ():",
                "for wait_s in ():",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_blank_answers.py",
                "test_a_blank_first_answer_is_asked_for_twice_more_then_covered_and_marked",
            ),
        ),
    ),
    Mutant(
        name="a blank stretch is never asked for again",
        guarantee=9,
        mechanism="a blank stretch is marked, and asked for again at each age",
        edits=(
            Edit(
                "bibsync/perusal.py", "            if blank:\n", "            if blank is None:\n"
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_blank_answers.py",
                "test_a_title_of_long_ago_behind_a_blank_answer_is_found_by_the_mark_alone",
            ),
        ),
    ),
    Mutant(
        name="an empty look-up says that its titles are gone",
        guarantee=9,
        mechanism="an empty body says nothing of the titles that were asked for",
        edits=(
            Edit(
                "bibsync/sources/bibliotheca.py",
                'raise SourceBusy(f"{VENDOR} sent an empty answer to a look-up.", '
                "outcome=Fault.BLANK)",
                "return Items({}, tuple(control_numbers))",
            ),
        ),
        tests=(
            of(
                "tests/sources/test_items.py",
                "test_whatever_is_no_list_says_nothing_about_any_title",
            ),
        ),
    ),
)

READING = (
    *NOTHING_IS_LOST,
    *NOTHING_IS_DROPPED,
    *FOUND_LATE,
    *SHIFTING,
    *ABSENCE,
)
