"""Plays a policy with a vector that was learned from comparisons."""

from pathlib import Path

import torch

from agents.bc.agent import BCAgent
from agents.steer_vector.network import open_vector
from basalt.policies.checkpoint import Checkpoint
from basalt.policies.vpt import VPTPolicy


class SteerVectorAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=steer_vector` as `agents.bc.agent.BCAgent` does, with the vector added."""

    name = "steer_vector"

    @staticmethod
    def _open(checkpoint: str | Path, device: torch.device) -> tuple[VPTPolicy, Checkpoint]:
        network, info = open_vector(checkpoint, device)
        facts = Checkpoint(
            step=info.step, policy=info.policy, task=info.task, train_places=info.train_places,
            held_out_places=info.held_out_places,
        )  # fmt: skip
        return network.policy, facts
