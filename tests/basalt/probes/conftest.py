"""A small untrained policy with recordings, for all tests of probes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.core.telemetry import Telemetry
from basalt.core.video import FrameSize
from basalt.data.episodes import Episode, load_episodes
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.vpt import VPTPolicy
from tests.support import synthetic
from tests.support.synthetic import write_episodes
from tests.support.tiny_policy import TINY


@pytest.fixture(autouse=True, scope="package")
def _own_cache_one_thread(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BASALT_CACHE", str(tmp_path_factory.mktemp("cache")))
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # networks this small are slower on two
        yield
        torch.set_num_threads(before)


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight episodes whose telemetry changes over time."""
    plain = synthetic.telemetry

    def varied(step: int) -> Telemetry:
        return plain(step).model_copy(
            update={
                "pitch": 45.0 if step // 8 % 2 else 0.0,
                "distance_walked": float(step // 10),
                "facts": {"in_cave": step >= 15},
            }
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "telemetry", varied)
        return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_008), 30)


@pytest.fixture(scope="package")
def episodes(folder: Path) -> list[Episode]:
    return load_episodes(folder, size=FrameSize(32, 32))


@pytest.fixture(scope="package")
def policy() -> VPTPolicy:
    torch.manual_seed(3)
    policy = VPTPolicy(TINY).eval()
    with torch.no_grad():
        for head in ("buttons", "camera"):
            policy.pi_head[head].get_submodule("linear_layer").weight.mul_(3)  # type: ignore[operator]
    return policy


@pytest.fixture(scope="package")
def run(
    policy: VPTPolicy, episodes: list[Episode], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("run")
    groups = [e.split_group for e in episodes]
    info = {"task": "find_cave", "drop_null": False, "train_places": groups[:3]}
    save_checkpoint(run, 1, policy, {}, info)
    return run


@pytest.fixture(scope="package")
def self_labelled(policy: VPTPolicy, episodes: list[Episode]) -> list[Episode]:
    """The episodes with the policy's own likeliest actions as labels, so that every ablation costs loss."""
    labelled = []
    for episode in episodes:
        with torch.no_grad():
            img = torch.from_numpy(episode.read())[None]
            first = torch.arange(len(episode))[None] == 0
            output = policy(img, first, policy.initial_state(1))
        buttons, camera = (
            logits[0].argmax(-1).numpy().astype(np.int16)
            for logits in (output.buttons_logits, output.camera_logits)
        )
        labelled.append(replace(episode, buttons=buttons, camera=camera))
    return labelled
