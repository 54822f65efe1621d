"""What is taken out of the rest: the order of work, silence about secrets, bounds of memory."""

from tests.mutants.mutant import Edit, Mutant, of

REIMPORTED = (
    Mutant(
        name="a forced re-import goes before new purchases",
        guarantee=8,
        mechanism="what to read is chosen anew after every window, other lanes last",
        edits=(
            Edit(
                "bibsync/choice.py",
                "(_begun, _rolling, _due_days, _gaps, _blanks, _other_lanes)",
                "(_other_lanes, _begun, _rolling, _due_days, _gaps, _blanks)",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_orders.py",
                "test_purchases_made_during_a_long_reimport_are_read_within_the_hour",
            ),
        ),
    ),
    Mutant(
        name="an equal order begins anew",
        guarantee=8,
        mechanism="a forced re-import is a row, which an equal order joins",
        edits=(Edit("bibsync/store/lanes.py", "if joined is not None:", "if joined == -1:"),),
        tests=(of("tests/harvest/test_orders.py", "test_an_equal_order_joins_the_open_lane"),),
    ),
    Mutant(
        name="a window that was begun before the order counts for it",
        guarantee=8,
        mechanism="whoever opens a lane drops what was begun before",
        edits=(
            Edit(
                "bibsync/course.py",
                "if opened not in {lane.number for lane in known.lanes}:",
                "if opened == -1:",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_second_look.py",
                "test_a_window_begun_before_the_order_does_not_count_for_it",
            ),
        ),
    ),
)

KEPT_SECRET = (
    Mutant(
        name="the vendor's words are passed on as they are",
        guarantee=10,
        mechanism="what a vendor says is shown without account, key and signature",
        edits=(
            Edit(
                "bibsync/sources/bibliotheca.py",
                'return re.sub("|".join(secrets), "***", text, flags=re.IGNORECASE)',
                "return text if secrets else text",
            ),
        ),
        tests=(
            of("tests/secrets/test_silence.py", "test_no_failure_of_the_vendor_shows_a_secret"),
        ),
    ),
    Mutant(
        name="a traceback shows local variables",
        guarantee=10,
        mechanism="tracebacks are written without what the program held",
        edits=(Edit("bibsync/events.py", "show_locals=False", "show_locals=True"),),
        tests=(
            of(
                "tests/secrets/test_logged_defects.py",
                "test_a_logged_defect_shows_no_local_variable",
            ),
        ),
    ),
    Mutant(
        name="config show shows everything",
        guarantee=10,
        mechanism="secrets are masked where a configuration is shown",
        edits=(
            Edit("bibsync/settings/values.py", "form = MASK", "form = value.get_secret_value()"),
        ),
        tests=(
            of(
                "tests/secrets/test_silence.py",
                "test_no_command_shows_a_secret_wherever_it_is_kept",
            ),
        ),
    ),
    Mutant(
        name="redirects are followed",
        guarantee=10,
        mechanism="the signature's headers go to no other host",
        edits=(Edit("bibsync/sources/http.py", "allow_redirects=False", "allow_redirects=True"),),
        tests=(
            of(
                "tests/hostile/test_redirects_and_entities.py",
                "test_no_redirect_is_followed_wherever_it_points",
            ),
        ),
    ),
)

FLAT = (
    Mutant(
        name="a body is inflated however large it is",
        guarantee=11,
        mechanism="a body is decoded in bounded parts and given up beyond a bound",
        edits=(
            Edit(
                "bibsync/sources/body.py",
                "if decoded > MOST_BYTES or received > MOST_PACKED:",
                "if decoded < 0:",
            ),
            Edit(
                "bibsync/sources/body.py",
                "if decoded > RATIO_FROM and decoded > received * MOST_RATIO:",
                "if decoded < 0:",
            ),
        ),
        tests=(of("tests/sources/test_body.py", "test_a_bomb_is_given_up_before_it_takes_memory"),),
    ),
    Mutant(
        name="a run remembers every page",
        guarantee=11,
        mechanism="memory holds the pages in flight, whatever the size of the collection",
        edits=(
            Edit(
                "bibsync/contents.py",
                "\n    return items\n",
                '\n    opened.__dict__.setdefault("kept", []).extend(items)\n    return items\n',
            ),
        ),
        tests=(
            of("tests/harvest/test_frugality.py", "test_memory_does_not_grow_with_the_collection"),
        ),
    ),
)

RUNNING = (
    *REIMPORTED,
    *KEPT_SECRET,
    *FLAT,
)
