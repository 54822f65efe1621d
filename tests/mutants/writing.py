"""What is taken out of writing: what is a change, what commits together, whose commits count."""

from tests.mutants.mutant import Edit, Mutant, of

NOTHING_IS_DUPLICATED = (
    Mutant(
        name="a record met again is a new version",
        guarantee=3,
        mechanism="a version is kept only where the fingerprint differs",
        edits=(
            Edit(
                "bibsync/store/records.py",
                "s.control_number is not null and s.fingerprint <> p.fingerprint as is_changed",
                "s.control_number is not null as is_changed",
            ),
        ),
        tests=(
            of(
                "tests/store/test_records.py",
                "test_other_bytes_with_the_same_content_are_no_change_and_are_known_from_then_on",
            ),
        ),
    ),
    Mutant(
        name="dates that the vendor makes at request time are content",
        guarantee=3,
        mechanism="005 and 008/00-05 are left out of the fingerprint",
        edits=(
            Edit(
                "bibsync/record.py",
                'for field in fields if field[0] != "005"',
                "for field in fields if field[0]",
            ),
        ),
        tests=(
            of("tests/marc/test_sameness.py", "test_dates_made_at_request_time_change_nothing"),
        ),
    ),
    Mutant(
        name="unchanged records are written at every re-read",
        guarantee=3,
        mechanism="equal bytes end at the comparison; last_seen moves once a day at most",
        edits=(
            Edit(
                "bibsync/store/records.py",
                "where s.raw_hash is distinct from asked.raw_hash or s.last_seen <= $4",
                "where $4::timestamptz is not null",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_clocks_apart.py", "test_last_seen_is_written_once_a_day_at_most"
            ),
        ),
    ),
)

COMMITTED_TOGETHER = (
    Mutant(
        name="the checkpoint is committed before its page",
        guarantee=4,
        mechanism="a page and its checkpoint are one transaction",
        edits=(
            Edit(
                "bibsync/perusal.py",
                "        unchanged, before = contents.unchanged(fresh), desk.tally.new\n",
                "        await self._checkpoint(mark, Written())\n"
                "        unchanged, before = contents.unchanged(fresh), desk.tally.new\n",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_cancellation.py",
                "test_a_harvest_cancelled_at_any_step_goes_on_to_the_whole_truth",
            ),
        ),
    ),
)

FENCED = (
    Mutant(
        name="no fence",
        guarantee=5,
        mechanism="the first statement of each transaction finds the fence's row or nothing counts",
        edits=(
            Edit(
                "bibsync/store/fences.py",
                "where collection = $1 and stream = $2 and epoch = $3 and holder = $4 and ver = $5",
                "where collection = $1 and stream = $2\n"
                "  and ($3::bigint, $4::text, $5::bigint) is not null",
            ),
        ),
        tests=(
            of("tests/store/test_fence.py", "test_a_deposed_run_writes_nothing"),
            of("tests/harvest/test_concurrency.py", "test_a_deposed_run_writes_nothing_more"),
        ),
    ),
    Mutant(
        name="no fence in the statement that commits by itself",
        guarantee=5,
        mechanism="the checkpoint of an unchanged page carries the fence",
        edits=(
            Edit(
                "bibsync/store/windows.py",
                "and epoch = $11 and holder = $12 and ver = $13",
                "\n      and ($11::bigint, $12::text, $13::bigint) is not null",
            ),
        ),
        tests=(
            of(
                "tests/store/test_lanes.py",
                "test_a_checkpoint_that_carries_the_fence_does_nothing_under_another_s",
            ),
        ),
    ),
    Mutant(
        name="a COMMIT without an answer is repeated from memory",
        guarantee=5,
        mechanism="`ver` tells whether a COMMIT happened whose answer got lost",
        edits=(
            Edit("bibsync/fence.py", "if await self._settle(conn) and tried:", "if tried is None:"),
            Edit(
                "bibsync/store/fences.py",
                "and holder = $4 and ver = $5",
                "and holder = $4 and $5 >= 0",
            ),
        ),
        tests=(
            of("tests/store/test_fence.py", "test_a_commit_without_an_answer_is_done_exactly_once"),
        ),
    ),
    Mutant(
        name="what landed although its task was cancelled is not counted",
        guarantee=2,
        mechanism="what was written is told, and counted, as soon as it is known that it was",
        edits=(
            Edit(
                "bibsync/fence.py",
                "        if happened:\n            self._land()\n",
                "        self._ver += happened\n",
            ),
        ),
        tests=(
            of(
                "tests/store/test_fence.py",
                "test_a_commit_that_landed_while_it_was_cancelled_counts",
            ),
        ),
    ),
    Mutant(
        name="a statement that landed late deposes its own run",
        guarantee=5,
        mechanism="a fence that moved is looked at once more: the first try may have moved it",
        edits=(
            Edit(
                "bibsync/fence.py",
                "elif not (again and await self._landed(conn)):",
                "elif not again or again:",
            ),
        ),
        tests=(
            of(
                "tests/store/test_fence.py",
                "test_a_statement_that_lands_after_it_was_given_up_is_done_exactly_once",
            ),
        ),
    ),
    Mutant(
        name="the answer that arrives last wins",
        guarantee=5,
        mechanism="answers are ordered by when they were asked for",
        edits=(
            Edit(
                "bibsync/store/records.py",
                "(s.asked_epoch, s.asked_serial) <= ($17::bigint, $18::bigint)",
                "($17::bigint, $18::bigint) is not null",
            ),
        ),
        tests=(
            of(
                "tests/harvest/test_concurrency.py",
                "test_a_late_answer_never_replaces_what_a_later_asked_one_stored",
            ),
        ),
    ),
    Mutant(
        name="records are written in the order of the page",
        guarantee=5,
        mechanism="rows are locked in one order, so that two writers never wait for each other",
        edits=(
            Edit(
                "bibsync/store/records.py",
                "page = sorted(records, key=lambda record: record.control_number)",
                "page = list(records)",
            ),
            Edit(
                "bibsync/store/records.py",
                "    from judged order by control_number\n",
                "    from judged\n",
            ),
            Edit(
                "bibsync/store/records.py",
                "from judged where is_new or is_changed order by control_number",
                "from judged where is_new or is_changed",
            ),
        ),
        tests=(
            of(
                "tests/store/test_records.py",
                "test_fifty_records_in_any_order_are_written_in_one_order",
            ),
        ),
    ),
    Mutant(
        name="a process stopped inside its transaction is waited for",
        guarantee=5,
        mechanism="its session ends by itself, or is ended by whoever takes over",
        edits=(
            Edit("bibsync/fence.py", "idle_ms = int(idle.total_seconds() * 1000)", "idle_ms = 0"),
            Edit(
                "bibsync/fence.py",
                "await asyncio.sleep(TAKE_OVER_WAIT_MS / 1000)",
                "await asyncio.sleep(TAKE_OVER_WAIT_MS)",
            ),
        ),
        tests=(
            of(
                "tests/store/test_fence.py",
                "test_a_process_stopped_inside_its_transaction_does_not_hold_up_a_take_over",
            ),
        ),
    ),
    Mutant(
        name="a process asks on although its lease ran out",
        guarantee=5,
        mechanism="no request goes out without a lease in force",
        edits=(
            Edit(
                "bibsync/lease.py",
                "while not self._over and self.left_s <= 0:",
                "while self.left_s is None:",
            ),
        ),
        tests=(
            of(
                "tests/store/test_leases.py",
                "test_a_process_that_was_stopped_beyond_its_lease_asks_nothing_more",
            ),
        ),
    ),
    Mutant(
        name="a lost lease goes unnoticed",
        guarantee=5,
        mechanism="the work is cancelled when the lease is another's",
        edits=(
            Edit(
                "bibsync/lease.py",
                'raise LeaseLost("The lease was lost: a later run took over this collection.")',
                "return",
            ),
        ),
        tests=(of("tests/store/test_leases.py", "test_a_lost_lease_cancels_the_block"),),
    ),
    Mutant(
        name="who waits for the word of a lost lease waits for ever",
        guarantee=5,
        mechanism="a lease that nobody renews any more ends all that ask for it",
        edits=(
            Edit(
                "bibsync/lease.py",
                "            keeper.add_done_callback(lambda _: tenure.end())\n",
                "",
            ),
        ),
        tests=(
            of(
                "tests/store/test_leases.py",
                "test_who_asks_for_the_word_of_a_lease_that_is_lost_is_told",
            ),
        ),
    ),
    Mutant(
        name="a cancellation that a library drops is forgotten",
        guarantee=5,
        mechanism="what was cancelled while it waited for a connection ends",
        edits=(
            Edit(
                "bibsync/store/__init__.py",
                "            cancellation.go_on(before)\n",
                "",
            ),
        ),
        tests=(
            of(
                "tests/store/test_pool.py",
                "test_a_cancellation_that_comes_together_with_the_connection_is_not_forgotten",
            ),
        ),
    ),
    Mutant(
        name="a dead holder keeps its lease",
        guarantee=5,
        mechanism="a holder of this machine and boot that no longer exists is replaced at once",
        edits=(Edit("bibsync/lease.py", "if holder.machine != _machine():", "if holder.machine:"),),
        tests=(
            of(
                "tests/acceptance/test_runs_together.py",
                "test_the_run_of_a_killed_process_is_taken_over_at_once",
            ),
            "tests/store/test_leases.py",
        ),
    ),
    Mutant(
        name="a flushed Redis lets two run",
        guarantee=5,
        mechanism="PostgreSQL confirms each lease that Redis gives",
        edits=(
            Edit(
                "bibsync/replicas/leases.py",
                "            in_redis = True\n        held =",
                "            return None\n        held =",
            ),
        ),
        tests=(
            of(
                "tests/replicas/test_redis_leases.py",
                "test_what_postgresql_says_is_held_is_given_back_in_redis",
            ),
        ),
    ),
)

WRITING = (
    *NOTHING_IS_DUPLICATED,
    *COMMITTED_TOGETHER,
    *FENCED,
)
