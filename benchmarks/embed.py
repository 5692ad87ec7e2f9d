"""`basalt bench embed`: frames per second from mp4 to embeddings with the 1x policy.

The network has its published size and seeded random weights. The peer is the same network behind a
plain loader, stepped frame by frame, one recording at a time, as the original's script does. The
limit is the image encoder alone on ready-made pictures, on the same cores.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from basalt.data.episodes import Episode, load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device
from basalt.policies.config import VPTConfig
from basalt.policies.embed import latent_batches
from basalt.policies.preprocess import resize_frame
from basalt.policies.vpt import VPTPolicy
from benchmarks.processes import Usage, measure

ROWS, LENGTH = 4, 32


def ours(policy: VPTPolicy, episodes: Sequence[Episode], workers: int) -> Iterator[int]:
    """Embed as `basalt embed` does; yields the frames of each batch."""
    for batch, _ in latent_batches(policy, episodes, ROWS, LENGTH, workers):
        yield int(batch.valid.sum())


@torch.inference_mode()
def peer(policy: VPTPolicy, episodes: Sequence[Episode]) -> Iterator[int]:
    """One recording after the other, frame by frame; yields 1 for each."""
    size = policy.config.frame_size
    for episode in episodes:
        state = policy.initial_state(1)
        first = torch.zeros(1, 1, dtype=torch.bool, device=policy.device)
        for part in episode.recordings:
            for _, frame in zip(range(len(episode)), part.frames(), strict=False):
                picture = torch.from_numpy(resize_frame(frame, size))[None, None].to(policy.device)
                latent, state = policy.latents(picture, first, state)
                latent.cpu()
                yield 1


@torch.inference_mode()
def encoder(policy: VPTPolicy, pictures: torch.Tensor) -> Iterator[int]:
    """The image encoder alone, in the batches that embedding uses; yields the frames of each."""
    first = torch.zeros(1, len(pictures), dtype=torch.bool, device=policy.device)
    while True:
        stacks, _ = policy.net.stack(pictures[None], first, policy.initial_state(1))
        policy.net.encode_frames(stacks).cpu()
        yield len(pictures)


@torch.inference_mode()
def largest_difference(policy: VPTPolicy, episode: Episode, frames: int) -> float:
    """Largest difference between a chunked and a stepped embedding of an episode's first frames."""
    pictures = torch.from_numpy(episode.read()[:frames])[None]
    pictures = pictures.to(policy.device)
    first = torch.zeros(1, frames, dtype=torch.bool, device=policy.device)
    whole, _ = policy.latents(pictures, first, policy.initial_state(1))
    state, steps = policy.initial_state(1), []
    for t in range(frames):
        latent, state = policy.latents(pictures[:, t : t + 1], first[:, :1], state)
        steps.append(latent)
    return float((whole - torch.cat(steps, 1)).abs().max())


def run(argv: list[str]) -> dict[str, Any]:
    """All measurements, ready to be printed as JSON.

    Raises:
        ConfigError: numbers below 1.
        RecordingError: no usable recordings in the folder.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench embed", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--data", default="sample", help="folder of recordings (the sample)")
    parser.add_argument("--frames", type=int, default=256, help="frames per measurement")
    parser.add_argument("--rounds", type=int, default=2, help="rounds; the best of each counts")
    parser.add_argument("--long", type=int, default=0, help="frames of a run for memory; 0: none")
    parser.add_argument("--size", default="1x", help="1x 2x 3x, or small to try the command")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1, help="processes that decode")
    options = parser.parse_args(argv)
    if min(options.frames, options.rounds) < 1 or options.long < 0:
        raise ConfigError("bench embed: --frames and --rounds begin at 1, --long at 0")
    device = choose_device(options.device)
    torch.manual_seed(0)
    policy = VPTPolicy(VPTConfig.preset(options.size)).to(device).eval()
    source = options.data if options.data == "sample" else Path(options.data)
    episodes = load_episodes(source, size=policy.config.frame_size, cache_gb=0)
    frames = sum(map(len, episodes))
    passes = -(-(max(options.frames, options.long) + 4 * ROWS * LENGTH) // frames)
    many = [*episodes] * passes
    pictures = torch.from_numpy(episodes[0].read()[: ROWS * LENGTH])
    pictures = pictures.to(device)
    pipelines = {
        "ours": lambda: ours(policy, many, options.workers),
        "peer": lambda: peer(policy, many),
        "encoder_alone": lambda: encoder(policy, pictures),
    }
    best: dict[str, Usage] = {}
    for _ in range(options.rounds):
        # In turn, so that other work on the machine troubles all alike.
        for name, pipeline in pipelines.items():
            usage = measure(pipeline(), options.frames)
            best[name] = min(best.get(name, usage), usage, key=lambda u: u.cpu_ms)
    figures: dict[str, Any] = {
        name: {"frames_per_s": round(usage.per_s, 2), "cpu_ms": round(usage.cpu_ms, 2)}
        for name, usage in best.items()
    }
    on_gpu = device.type == "cuda"

    def cost(usage: Usage) -> float:
        return 1 / usage.per_s if on_gpu else usage.cpu_ms

    figures["share_of_encoder_alone"] = round(cost(best["encoder_alone"]) / cost(best["ours"]), 3)
    figures["ratio_frames_per_s"] = round(best["ours"].per_s / best["peer"].per_s, 2)
    figures["largest_difference_to_single_steps"] = largest_difference(
        policy, episodes[0], min(ROWS * LENGTH, len(episodes[0]))
    )
    figures["threads"], figures["device"] = torch.get_num_threads(), str(device)
    if options.long:
        began = time.perf_counter()
        long = measure(ours(policy, many, options.workers), options.long)
        figures["long_run"] = {
            "frames": long.count,
            "seconds": round(time.perf_counter() - began),
            "early_mb": long.early_mb,
            "peak_mb": long.peak_mb,
        }
    figures["cores"] = os.cpu_count()
    how = "frames per second" if on_gpu else "processor time, which other work does not change"
    return {
        "name": "embed",
        "figures": figures,
        "peer": f"the same {options.size} network, a plain loader, one recording frame by frame; "
        f"ratio and share by {how}",
        "ratio": round(cost(best["peer"]) / cost(best["ours"]), 2),
    }
