"""The policies that ship: they play as their cards say, are small, and name no place of the machine that made them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from agents.common.identity import identify
from agents.common.registry import make_agent
from basalt.core.intervals import rate_interval
from basalt.core.tasks import get_task, split_of
from basalt.io.paths import shipped_policies
from basalt.policies.checkpoint import find_checkpoint
from basalt.policies.pack import ENDING, SEARCH
from basalt.rollouts.evaluation import Evaluation
from tests.support import ROOT

POLICIES = sorted(folder for folder in shipped_policies().iterdir() if folder.is_dir())
RECORDS = sorted((ROOT / "docs/results").glob("*/confirmed-*-other-*.json"))


@pytest.fixture(params=POLICIES, ids=lambda folder: folder.name)
def policy(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.param
    return folder


def test_it_plays_with_its_stopping_head(policy: Path) -> None:
    frames = np.zeros((1, 72, 128, 3), np.uint8)
    for name, checkpoint in {"bc": policy, "search": policy / SEARCH}.items():
        agent = make_agent(name, checkpoint=checkpoint, stop=policy / ENDING, device="cpu")
        (action,) = agent.act(frames, np.array([True]))
        assert "camera" in action


def test_it_is_small_and_names_no_place_of_another_machine(policy: Path) -> None:
    files = [file for file in policy.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 11_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".npy", ".md"}
    for file in (one for one in files if one.suffix == ".json"):
        texts = re.findall(r'"([^"]*)"', file.read_text())
        assert not [text for text in texts if text.startswith(("/", "~"))], file


def test_it_was_trained_on_training_seeds_only(policy: Path) -> None:
    for run in (policy, policy / ENDING):
        facts = json.loads((find_checkpoint(run) / "checkpoint.json").read_text())
        task = get_task(facts["task"])
        for place in (*facts["train_places"], *facts["held_out_places"]):
            assert split_of(task, int(place.rpartition(":")[2])) == "train"


def test_its_card_gives_the_figures_of_its_record(policy: Path) -> None:
    paths = {"checkpoint": str(policy / SEARCH), "stop": str(policy / ENDING)}
    (record,) = [
        record
        for record in map(Evaluation.read, RECORDS)
        if record.agent_hash == identify(record.agent | paths).hash
    ]
    won = sum(bool(one.success) for one in record.episodes)
    low, high = rate_interval(won, len(record.episodes))
    card = (policy / "README.md").read_text()
    assert f"{won} of {len(record.episodes)} held-out seeds ({low:.0%} to {high:.0%})" in card
