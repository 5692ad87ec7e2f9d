"""The examples of docs/libraries.md, on the toy world: each learns for some steps where its library is installed."""

import importlib

import gymnasium
import numpy as np
import pytest

from basalt.testing import check_agent
from tests.support import ROOT
from tests.support.tiny_reward import tiny_reward
from tests.support.toy_world import CountingWorld

PAGE = (ROOT / "docs/libraries.md").read_text(encoding="utf-8")


@pytest.fixture
def run_example(tmp_path, monkeypatch):
    """Run the code below a heading in a folder that has the run it needs; returns its names."""
    tiny_reward(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    worlds = []

    def make(name, *, seeds, step_limit):
        assert name == "basalt/FindCave-v0" and len(seeds) == 8
        worlds.append(CountingWorld(seeds=seeds, step_limit=20))
        return worlds[-1]

    monkeypatch.setattr(gymnasium, "make", make)

    def run(heading: str) -> dict:
        names: dict = {"__name__": "example"}
        code = PAGE.partition(f"## {heading}\n")[2].partition("```python\n")[2].partition("```")[0]
        exec(compile(code, "docs/libraries.md", "exec"), names)
        assert CountingWorld.episodes > before + 10
        return names

    before = CountingWorld.episodes
    return run


@pytest.mark.long
def test_stable_baselines3_learns_and_its_policy_is_an_agent(run_example, tmp_path):
    pytest.importorskip("stable_baselines3")
    names = run_example("Stable-Baselines3")
    assert names["model"].num_timesteps == 256 and (tmp_path / "runs/sb3.zip").is_file()
    rewards = [one["r"] for one in names["model"].ep_info_buffer]
    assert np.isfinite(rewards).all() and np.any(rewards)
    check_agent(names["Mine"]())


@pytest.mark.long
def test_torchrl_learns(run_example):
    if importlib.util.find_spec("torchrl") is None:
        pytest.skip("needs torchrl")
    names = run_example("TorchRL")
    batch = names["batch"]
    assert batch["next", "reward"].isfinite().all() and batch["next", "reward"].any()
    assert all(value.isfinite().all() for value in names["losses"].values())
