"""Worker processes share the machine."""

import os

import pytest

from basalt.io.processes import spawned_pool


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("jobs", "chosen"), [(CORES, None), (1, None), (1, "1")])
def test_threads_share_the_cores_unless_their_number_is_chosen(
    monkeypatch: pytest.MonkeyPatch, jobs: int, chosen: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    with spawned_pool(jobs) as pool:
        assert pool.submit(torch_threads).result() == int(chosen or CORES // jobs)


def tell(answer: str) -> None:
    os.environ["BASALT_TOLD"] = answer


def test_each_process_starts_as_told() -> None:
    with spawned_pool(1, tell, ["yes"]) as pool:
        assert pool.submit(os.getenv, "BASALT_TOLD").result() == "yes"
