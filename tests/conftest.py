"""Fixtures shared by all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

# As the packages do, but before any test module imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Workers share the cores, so each of them, and what it starts, computes on its own part.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# Processes that tests start import this checkout, wherever they run.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: networks as small as those of tests are slower on two."""
    import torch  # most tests need no torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers computed by the code of others, and inventories of earlier versions: they come with the checkout."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def published() -> Path:
    """Files that others published; the repository has no copies, so they may be missing.

    Where the folder beside the checkout exists and CI is set, its files must be there.
    """
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        assert not (os.environ.get("CI") and path.parent.is_dir()), f"{path} is missing"
        pytest.skip("the published files (../shared/data) are not beside this checkout")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole run and all its workers, apart from the user's: worlds are made once."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    monkeypatch.setenv("BASALT_CACHE", str(base / "cache"))


PROBES = "tests/basalt/probes"
"""Their tests share one policy and its recordings."""

LONGEST_FIRST = ("engine", "browser", PROBES)
"""Groups of tests that take minutes, in the order in which workers take them."""


def group(item: pytest.Item) -> str:
    """The tests that one worker runs one after another, when `pytest -n 2` shares them out.

    Engines and browsers keep a core busy and have time limits, so at most one of each runs at a time.
    Elsewhere the tests of a file stay together, and with them what its fixtures made.
    """
    for mark in ("engine", "browser"):
        if item.get_closest_marker(mark):
            return mark
    file = item.path.relative_to(ROOT).as_posix()
    return PROBES if file.startswith(PROBES) else file


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers, group the tests and begin with the long ones."""
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return
    groups = {item: group(item) for item in items}
    for item, name in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(groups[item], len(rank)))
