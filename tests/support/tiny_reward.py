"""A finished reward model with random weights, over the trunk of a tiny policy."""

from pathlib import Path

import torch

from agents.reward.config import ModelKind
from agents.reward.model import RewardModel, RewardSizes
from agents.reward.saved import RewardCheckpoint
from basalt.policies.checkpoint import write_checkpoint
from basalt.policies.source import fingerprint, open_policy
from tests.support.tiny_policy import TINY, tiny_run


def tiny_reward(
    folder: Path, *, model: ModelKind = "linear", task: str = "find_cave", version: str = "toy-1"
) -> Path:
    """Save the model as a run of one checkpoint, beside its trunk.

    Returns:
        The folder of the run.
    """
    trunk, run = tiny_run(folder / "trunk"), folder / "reward"
    sizes = RewardSizes(
        model=model, members=2, latents=TINY.hidsize, components=3, references=5, width=4, window=4,
        stride=2, changes=model != "transformer",
    )  # fmt: skip
    torch.manual_seed(1)
    network = RewardModel(sizes).eval()
    with torch.no_grad():
        network.basis.normal_()
        network.support.frames.normal_()
        network.support.limit.fill_(1e6)  # nothing is outside
        for parameter in network.members.parameters():
            parameter.normal_(std=0.3)
    facts = RewardCheckpoint(
        step=1, sizes=sizes, trunk=str(trunk), trunk_fingerprint=fingerprint(open_policy(trunk, torch.device("cpu"))),
        task=task, question="", world="toy", world_version=version, sources=("human",), flip_rate=0.0, answers="a",
        train_places=(), held_out_places=(), temperature=1.0, finished=True,
    )  # fmt: skip
    write_checkpoint(run, 1, facts, network.state_dict(), {})
    return run
