"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

from tests.support import ROOT

# As the packages do, but before any test module imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Processes that tests start import this checkout, wherever they run.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data kept beside the checkout: real BEDD files and golden outputs."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip("the reference data (../shared) is not beside this checkout")
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for the whole run, apart from the user's; saved worlds are shared between tests."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("BASALT_CACHE", str(base / "cache"))
