"""Who has a job, who may have it next, and how one asks the other."""

import pytest

from recorder.errors import ConfigError, JobLostError, JobRunningError
from recorder.model import TAKEN_OVER
from recorder.store.job_lock import (
    JobLock,
    Successor,
    check_job,
    leave_path,
    next_path,
    take_job,
    take_or_follow,
)
from recorder.store.listing import open_listing
from recorder.store.recover import recover, settle_hung
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.run import RunState, open_run


JOB = "all of it"


@pytest.fixture
def held(root):
    lock = take_job(root, JOB)
    lock.tell("one", 10**18)
    yield lock
    lock.release()


@pytest.fixture
def successor(root, held):
    found = take_or_follow(root, JOB)
    assert isinstance(found, Successor)
    yield found
    found.release()


def test_a_free_job_is_taken_by_who_would_follow(root):
    lock = take_or_follow(root, JOB)

    assert isinstance(lock, JobLock)
    lock.release()
    assert not next_path(root, JOB).exists()


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="is a file"):
        take_or_follow(tmp_path / "file", JOB)


def test_only_one_follows_and_the_next_is_told_so(root, held, successor):
    with pytest.raises(JobRunningError, match=r"run one, .*another is taking it over"):
        take_or_follow(root, JOB)
    with pytest.raises(JobRunningError):
        check_job(root, JOB, takes_over=True)
    assert held.has_successor


def test_who_is_asked_hears_it_once_and_who_asks_knows_that(held, successor):
    assert not held.is_asked_to_leave()

    assert successor.ask()

    assert not successor.is_heard
    assert held.is_asked_to_leave()
    assert successor.is_heard
    assert not held.is_asked_to_leave()
    assert not successor.ask()  # it was


def test_what_a_dead_successor_asked_counts_for_nothing(root, held):
    dead = take_or_follow(root, JOB)
    dead.ask()
    dead._lock.release()  # as a kill does: what it asked stays

    assert leave_path(root, JOB).exists()
    assert not held.is_asked_to_leave()


def test_who_holds_the_job_now_was_not_asked_in_the_one_before(root, held, successor):
    successor.ask()
    held.tell("two", 10**18)

    assert not held.is_asked_to_leave()

    assert successor.ask()
    assert held.is_asked_to_leave()


def test_whoever_has_only_just_begun_is_not_asked(root):
    lock = take_job(root, JOB)
    successor = take_or_follow(root, JOB)

    assert successor.holder is None
    assert not successor.ask()

    successor.release()
    lock.release()


def test_a_job_that_is_let_go_is_had_by_who_follows(held, successor):
    assert successor.try_job() is None

    held.release()

    lock = successor.try_job()
    assert lock is not None
    held._lock = lock._lock  # for the fixture


def test_a_lock_that_is_replaced_is_lost_and_the_new_one_is_held(root, held, successor):
    assert not held.is_lost

    lock = successor.replace_lock()

    assert held.is_lost
    assert not lock.is_lost
    with pytest.raises(JobRunningError):
        take_job(root, JOB)
    lock.release()
    take_job(root, JOB).release()


def test_a_run_whose_job_was_taken_writes_nothing_more(root):
    run = open_run(root, job=JOB, source="fake", now_ns=10**18)
    run.check()
    successor = take_or_follow(root, JOB)

    settle_hung(root, run.id)

    with pytest.raises(
        JobLostError, match="another run has taken over job 'all of it'"
    ):
        run.check()
    lock = successor.replace_lock()
    with pytest.raises(JobLostError):
        run.check()
    for held in (lock, successor):
        held.release()
    run.abandon()
    assert [done.was_killed for done in recover(root)] == []


def test_of_a_disk_that_is_gone_for_a_while_nothing_follows(root):
    run = open_run(root, job=JOB, source="fake", now_ns=10**18)
    (root / ".recorder").rename(root / "elsewhere")

    run.check()

    (root / "elsewhere").rename(root / ".recorder")
    run.release()


def test_of_a_run_beside_another_only_its_end_is_told(root):
    first = open_run(root, job=JOB, source="fake", now_ns=10**18)
    second = open_run(root, job=JOB, source="fake", now_ns=10**18 + 1, takes_over=True)
    assert second.successor is not None
    second.write_state(RunState())
    second.check()

    second.abandon()  # as a kill does

    assert [(done.run, done.was_killed) for done in recover(root)] == [
        (second.id, True)
    ]
    first.release()
    (gap,) = newest_revisions(plain_rows(open_listing(root).read("gaps")))
    assert (gap.reason, gap.healed_by) == ("process_killed", TAKEN_OVER)
    assert gap.started_at == gap.ended_at == 10**18 + 1
    assert (gap.market, gap.stream, gap.job) == (None, None, JOB)
    assert open_listing(root).read("coverage").num_rows == 0
