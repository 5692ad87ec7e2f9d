"""Training speed and quality of sparse autoencoders beside SAELens and eai-sparsify, on one CPU thread."""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.training import Trainer, train_sae
from benchmarks.sae_peers import PEERS, measure
from benchmarks.synthetic_sparse import chance_of, recovery, synthetic

PEERS_VARIABLE = "BASALT_SAE_PEERS"
AIMS = {"sae_lens": 1.5, "sparsify": 1.0}
"""Target speed as a multiple of each peer's, at equal quality; `ratio` 1 reaches it."""
SLACK = {"mmcs": 0.01, "f1": 0.02}
"""Quality counts as equal if ours, after the same number of activations, is at most this far below the peer's."""


def run(argv: list[str]) -> dict[str, Any]:
    """Run `basalt bench sae`.

    Returns:
        `figures` by architecture: activations per CPU second and quality, ours and the peer's; `ratio`:
        the least over architectures of (ours / peer's speed) / aim, null without peers or if our
        quality is below a peer's.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench sae", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--d", type=int, default=1024, help="dimensions of the speed runs")
    parser.add_argument("--width", type=int, default=8192, help="latents of the speed runs")
    parser.add_argument("--l0", type=float, default=32.0, help="active latents of the speed runs")
    parser.add_argument("--batch", type=int, default=512, help="activations per step")
    parser.add_argument("--steps", type=int, default=100, help="number of timed steps")
    parser.add_argument(
        "--peer-steps",
        type=int,
        help="number of timed steps of the peers, whose speed is steady (default: --steps)",
    )
    parser.add_argument(
        "--tokens", type=int, default=1_000_000, help="activations of the quality runs"
    )
    parser.add_argument(
        "--peers",
        default=os.environ.get(PEERS_VARIABLE),
        help="path of a Python interpreter with sae_lens and sparsify "
        f"(default: ${PEERS_VARIABLE}, or this interpreter)",
    )
    options = parser.parse_args(argv)
    speed: dict[str, Any] = {
        "d": options.d, "width": options.width, "l0": options.l0, "batch": options.batch,
        "steps": options.steps,
        "data": {"n": 8 * options.batch, "features": 2 * options.d, "d": options.d, "l0": options.l0, "seed": 1},
    }  # fmt: skip
    quality: dict[str, Any] = {
        "d": 128, "width": 1024, "l0": 8.0, "batch": 512, "steps": options.tokens // 512,
        "train": options.tokens,
        "data": {"n": options.tokens + 10_000, "features": 1024, "d": 128, "l0": 8.0, "seed": 0},
    }  # fmt: skip
    torch.set_num_threads(1)
    ours = _ours(speed, quality)
    theirs = _theirs(options.peers, speed | {"steps": options.peer_steps or options.steps}, quality)
    return _compared(ours, theirs, speed, quality)


def _ours(speed: dict[str, Any], quality: dict[str, Any]) -> dict[str, Any]:
    fast = synthetic(**speed["data"]).activations
    data, held_out = synthetic(**quality["data"]).split(quality["train"])
    train = data.activations
    found: dict[str, Any] = {"chance": chance_of(data.directions, quality["width"])}
    for architecture in PEERS:
        config = SAEConfig(
            architecture, width=speed["width"], target_l0=speed["l0"], batch=speed["batch"],
            steps=speed["steps"] + 1, bandwidth=0.05,
        )  # fmt: skip
        scale = float(fast.square().sum(1).mean().sqrt())
        trainer = Trainer(config, fast, scale)

        def steps(source: Iterator[Tensor], n: int, trainer: Trainer = trainer) -> None:
            for _ in range(n):
                trainer.step(next(source))

        figure: dict[str, Any] = {
            "activations_per_second": measure(steps, fast, speed["batch"], speed["steps"])
        }
        config = SAEConfig(
            architecture, width=quality["width"], target_l0=quality["l0"], batch=quality["batch"],
            steps=quality["steps"],
        )  # fmt: skip
        began = time.process_time()
        sae = train_sae(train, config)
        figure["quality_cpu_seconds"] = time.process_time() - began
        found[architecture] = figure | {"quality": recovery(sae, held_out)}
        print(architecture, found[architecture], file=sys.stderr)
    return found


def _theirs(python: str | None, speed: dict[str, Any], quality: dict[str, Any]) -> dict[str, Any]:
    """The peers' measurements, or why they are missing."""
    if python is None:
        if importlib.util.find_spec("sae_lens") is None:
            return {
                "missing": "SAELens is not installed; give the path of a Python interpreter that has it with "
                f"--peers or ${PEERS_VARIABLE}"
            }
        python = sys.executable
    root = Path(__file__).resolve().parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, "-m", "benchmarks.sae_peers"],
        input=json.dumps({"speed": speed, "quality": quality}),
        stdout=subprocess.PIPE, text=True, env=environment, cwd=root, check=False,
    )  # fmt: skip
    try:
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {"missing": f"{python} could not run the peers (exit status {done.returncode})"}
    return answer


def _compared(
    ours: dict[str, Any], theirs: dict[str, Any], speed: dict[str, Any], quality: dict[str, Any]
) -> dict[str, Any]:
    figures: dict[str, Any] = {"chance_mmcs": ours["chance"]}
    shares = {}
    for architecture, module in PEERS.items():
        peer = theirs.get(architecture, {"missing": theirs.get("missing", "not measured")})
        row = {"ours": ours[architecture], "peer": {"name": module} | peer}
        if "missing" not in peer:
            times = ours[architecture]["activations_per_second"] / peer["activations_per_second"]
            row["times_as_fast"] = times
            row["quality_no_lower"] = all(
                ours[architecture]["quality"][key] >= peer["quality"][key] - slack
                for key, slack in SLACK.items()
            )
            shares[architecture] = times / AIMS[module] if row["quality_no_lower"] else 0.0
        figures[architecture] = row
    settings = {"speed": speed, "quality": quality}
    return {
        "name": "sae",
        "figures": figures | {"settings": settings},
        "peer": {"aim": "1.5 x SAELens, 1 x eai-sparsify"}
        | ({} if shares else {"missing": theirs.get("missing")}),
        "ratio": (min(shares.values()) or None) if len(shares) == len(PEERS) else None,
    }
