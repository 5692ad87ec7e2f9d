"""Jobs that workers take from a folder, with workers on this machine."""

from contextlib import closing

import pytest

from basalt.io.errors import BusyError, ConfigError, WorkerError, WorldError
from basalt.io.locks import sole_writer
from basalt.runners.choice import open_runner
from basalt.runners.jobs import FOLDER, JobEnd, JobList, do_jobs, run_jobs
from basalt.runners.local import LocalRunner
from tests.basalt.runners.fake_jobs import broken_worker, done, job_list


def ran(todo, workers=2, runner=None):
    found = {}
    for name, end in run_jobs(todo, runner or LocalRunner(), workers):
        try:
            found[name] = end.outcome()
        except Exception as err:
            found[name] = err
    return found


def test_every_job_is_done_once_and_nothing_of_the_list_is_left(tmp_path):
    names = [f"job.{number}" for number in range(12)]
    assert ran(job_list(tmp_path, *names)) == {name: name for name in names}
    assert done(tmp_path) == sorted(names)
    assert not (tmp_path / FOLDER).exists()


def test_a_failed_job_is_reported_with_its_error_and_the_others_are_done(tmp_path):
    ended = ran(job_list(tmp_path, "a fails", "b is full", "c has a bug", "d"))
    assert isinstance(ended["a"], WorldError) and str(ended["a"]) == "the toy fell apart"
    assert isinstance(ended["b"], OSError)
    assert (ended["b"].errno, ended["b"].filename) == (28, "film.mp4")
    assert isinstance(ended["c"], RuntimeError) and "ZeroDivisionError: 1 / 0" in str(ended["c"])
    assert ended["d"] == "d" and done(tmp_path) == ["d"]


def test_a_job_whose_worker_was_killed_is_done_by_another_and_once(tmp_path):
    ended = ran(job_list(tmp_path, "a kills once", "b", "c", "d"))
    assert set(ended.values()) == {*"abcd"} and done(tmp_path) == ["a", "b", "c", "d"]


def test_a_job_that_kills_every_worker_is_given_up(tmp_path):
    ended = ran(job_list(tmp_path, "a kills", "b"), workers=1)
    assert isinstance(ended["a"], WorkerError) and "the worker died 3 times" in str(ended["a"])
    assert ended["b"] == "b" and done(tmp_path) == ["b"]


def test_a_worker_that_cannot_be_made_is_the_failure_of_its_job(tmp_path):
    todo = JobList(tmp_path, {"a": 1}, lambda: broken_worker(tmp_path))
    (tmp_path / FOLDER).mkdir()
    todo.work()
    with pytest.raises(ConfigError, match="checkpoint: not there"):
        todo.end_of("a").outcome()


def test_a_worker_leaves_jobs_alone_that_another_does_or_has_done(tmp_path):
    todo = job_list(tmp_path, "a", "b", "c")
    (tmp_path / FOLDER).mkdir()
    JobEnd().write(tmp_path / FOLDER / "b.json")
    taken = todo._taken()
    assert next(taken) == "a" and todo.is_held("a") and not todo.is_held("c")
    todo.work()  # meanwhile
    assert done(tmp_path) == ["c"]
    taken.close()
    todo.work()
    assert done(tmp_path) == ["a", "c"]


def test_what_an_interrupted_run_noted_does_not_count(tmp_path):
    (tmp_path / FOLDER).mkdir()
    JobEnd().write(tmp_path / FOLDER / "a.json")
    (tmp_path / FOLDER / "stop").touch()
    assert ran(job_list(tmp_path, "a", "b")) == {"a": "a", "b": "b"}
    assert done(tmp_path) == ["a", "b"]


def test_closing_the_iterator_ends_the_workers_after_their_jobs(tmp_path):
    names = [f"{number} is slow" for number in range(40)]
    with closing(run_jobs(job_list(tmp_path, *names), LocalRunner(), 2)) as ended:
        next(ended)
    assert 1 <= len(done(tmp_path)) < 40
    before = done(tmp_path)
    assert not job_list(tmp_path, "0 is slow").is_held("0") and done(tmp_path) == before


def test_all_jobs_are_done_before_a_failure_is_raised(tmp_path, capsys):
    todo = job_list(tmp_path, "a fails", "b", "c fails")
    with pytest.raises(WorldError, match="2 of 3 jobs failed; first: seed a: the toy fell apart"):
        do_jobs(todo, LocalRunner(), 1, title="toy", unit="seed", progress=False)
    assert done(tmp_path) == ["b"]
    assert "seed c failed: the toy fell apart" in capsys.readouterr().err


def test_results_are_in_the_order_of_the_list(tmp_path):
    todo = job_list(tmp_path, "b is slow", "a")
    assert do_jobs(todo, LocalRunner(), 2, title="", unit="job", progress=False) == ["b", "a"]


def test_a_worker_is_opened_once_for_all_its_jobs(tmp_path):
    ran(job_list(tmp_path, *map(str, range(8))), workers=2)
    assert 1 <= len(list((tmp_path / "opened").iterdir())) <= 2


class NoWorkers(LocalRunner):
    """Workers that end before they begin."""

    def start(self, work, count, folder):
        return super().start(print, count, folder)


def test_workers_that_begin_nothing_are_one_error(tmp_path):
    with pytest.raises(WorkerError, match=r"ended before they began a job: exit codes 0, 0"):
        ran(job_list(tmp_path, "a", "b"), runner=NoWorkers())


def test_two_commands_do_not_share_a_list(tmp_path):
    with (
        sole_writer(tmp_path / FOLDER, "run of jobs"),
        pytest.raises(BusyError, match="another run of jobs"),
    ):
        ran(job_list(tmp_path, "a"))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"name": "rya"}, r"runner: unknown option 'rya'; did you mean 'ray'\?"),
        ({"name": "ray", "cpus": 0}, r"runner.cpus: expected a value above 0, got 0"),
        ({"name": "slurm", "partitoin": "x"}, r"runner.partitoin: unknown setting"),
        ({"name": "local", "address": "x"}, r"runner.address: unknown setting"),
    ],
)
def test_a_wrong_setting_of_a_runner_is_named(chosen, message):
    with pytest.raises(ConfigError, match=message):
        open_runner(chosen)


def test_the_local_runner_is_the_default():
    assert isinstance(open_runner({}), LocalRunner)


def test_fewer_than_one_job_at_once_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="jobs: expected an integer of at least 1, got 0"):
        ran(job_list(tmp_path, "a"), workers=0)
