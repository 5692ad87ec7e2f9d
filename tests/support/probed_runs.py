"""A folder in which a policy was trained and a suite of autoencoders measured on it."""

from pathlib import Path

import torch

from basalt.core.video import FrameSize
from basalt.data.episodes import load_episodes
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.vpt import VPTPolicy
from basalt.probes.settings import SuiteConfig
from basalt.probes.suite.run import run_suite
from tests.support.synthetic import write_episodes
from tests.support.tiny_policy import TINY


def write_suite(folder: Path) -> None:
    """Write recordings into `demos`, a run into `runs/bc` and a suite into `runs/scope`."""
    recordings = write_episodes(folder / "demos", range(100_000, 100_006), 40)
    torch.manual_seed(3)
    places = [e.split_group for e in load_episodes(recordings, size=FrameSize(32, 32))]
    info = {"task": "find_cave", "drop_null": False, "train_places": places[:3]}
    save_checkpoint(folder / "runs" / "bc", 1, VPTPolicy(TINY).eval(), {}, info)
    suite = SuiteConfig(
        checkpoint=str(folder / "runs" / "bc"), data=str(recordings),
        out=str(folder / "runs" / "scope"), sites=("embed", "lastlayer"),
        architectures=("jumprelu", "topk"), widths=(16,), l0=(4,), steps=40, batch=32, device="cpu",
        eval_frames=40, effect_frames=32,
    )  # fmt: skip
    run_suite(suite)
