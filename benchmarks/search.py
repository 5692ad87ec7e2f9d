"""`basalt bench search`: time and recall of the index of search-based imitation, beside an exact search of everything.

The latents are synthetic: random walks in few hidden dimensions, seen through a nonlinear map with noise. Queries are
frames of episodes that are not in the index. The few hidden dimensions favour principal components; on latents of a
policy measure the recall with `--index RUN/index`, whose queries are its own frames, without those near them.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.search.index import Demonstration, LatentIndex, build_index, open_index
from basalt.core.intervals import rate_interval
from basalt.io.errors import ConfigError

HIDDEN = 24
"""Hidden dimensions of the random walks."""

CORRELATION = 100
"""Frames over which a random walk forgets where it was."""

NOISE = 0.1
"""Standard deviation of the noise on each dimension."""

APART = 64
"""A query of an index's own frames does not find frames this near to it."""

_ROWS = 65_536
"""Frames that are compared exactly at once."""


def walk(number: int, frames: int, width: int) -> NDArray[np.float16]:
    """Latents of one synthetic episode, float16 [frames, width], of length 1.

    Args:
        number: Number of the episode; its random numbers depend on nothing else.
        frames: Number of frames.
        width: Width of the latents.
    """
    shared = np.random.default_rng(0)
    mix = shared.standard_normal((HIDDEN, width), dtype=np.float32)
    phase = shared.uniform(0, 2 * np.pi, width).astype(np.float32)
    rng = np.random.default_rng([1, number])
    hidden = np.empty((frames, HIDDEN), np.float32)
    hidden[0] = rng.standard_normal(HIDDEN)
    steps = rng.standard_normal((frames, HIDDEN)) * np.sqrt(2 / CORRELATION)
    for t in range(1, frames):
        hidden[t] = hidden[t - 1] * (1 - 1 / CORRELATION) + steps[t]
    mixed = hidden @ mix / np.sqrt(HIDDEN)
    seen = np.tanh(mixed) + np.sin(mixed + phase)
    seen += NOISE * rng.standard_normal((frames, width), dtype=np.float32)
    return np.asarray(seen / np.linalg.norm(seen, axis=1, keepdims=True), dtype=np.float16)


def synthetic_index(
    folder: Path, frames: int, width: int, length: int, components: int
) -> LatentIndex:
    """Build an index of synthetic episodes.

    Args:
        folder: Folder to write.
        frames: Number of frames in all.
        width: Width of the latents.
        length: Number of frames of an episode.
        components: Number of principal components.
    """
    nothing = np.zeros(length, np.int64)
    episodes = [
        Demonstration(partial(walk, number, length, width), width, nothing, nothing)
        for number in range(frames // length)
    ]
    return build_index(folder, episodes, components=components)


def squares(index: LatentIndex) -> NDArray[np.float32]:
    """Squared lengths of the full latents, float32 [n]."""
    found = np.empty(len(index), np.float32)
    for start in range(0, len(index), _ROWS):
        block = index.latents[start : start + _ROWS].astype(np.float32)
        found[start : start + _ROWS] = np.einsum("nw,nw->n", block, block)
    return found


def exact(
    index: LatentIndex,
    lengths: NDArray[np.float32],
    query: NDArray[Any],
    forbidden: Sequence[tuple[int, int]] = (),
) -> int:
    """The nearest frame by its full latent, compared with every frame.

    Args:
        index: Latents.
        lengths: Their `squares`.
        query: A latent, float [width].
        forbidden: Ranges [start, stop) of frames that may not be found.
    """
    point = query.astype(np.float32)
    scores = np.empty(len(index), np.float32)
    for start in range(0, len(index), _ROWS):
        block = index.latents[start : start + _ROWS].astype(np.float32)
        scores[start : start + _ROWS] = lengths[start : start + _ROWS] - 2 * (block @ point)
    for low, high in forbidden:
        scores[max(0, low) : max(0, high)] = np.inf
    return int(scores.argmin())


def timed(call: Callable[[], int]) -> tuple[int, float]:
    """What a call returns, and its processor time in milliseconds."""
    began = time.process_time()
    found = call()
    return found, 1000 * (time.process_time() - began)


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Raises:
        ConfigError: An argument is out of its range, or there is no index.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench search", description=__doc__, allow_abbrev=False
    )
    parser.add_argument(
        "--frames", type=int, default=1_000_000, help="frames of the synthetic index"
    )
    parser.add_argument("--width", type=int, default=1024, help="width of its latents")
    parser.add_argument("--length", type=int, default=1000, help="frames of an episode")
    parser.add_argument("--components", type=int, default=32, help="principal components")
    parser.add_argument("--candidates", type=int, default=50, help="frames ranked on full latents")
    parser.add_argument("--queries", type=int, default=60, help="searches")
    parser.add_argument("--index", type=Path, help="measure this index instead of a synthetic one")
    options = parser.parse_args(argv)
    numbers = [value for value in vars(options).values() if isinstance(value, int)]
    if min(numbers) < 1 or options.frames < options.length:
        raise ConfigError(
            "bench search: numbers: expected at least 1, and at least as many --frames as --length"
        )
    if options.index is not None:
        return _measure(open_index(options.index), None, options)
    with TemporaryDirectory(prefix="basalt-search-") as folder:
        began = time.process_time()
        episodes = options.frames // options.length
        for number in range(min(3, episodes)):
            walk(number, options.length, options.width)
        making = (time.process_time() - began) / min(3, episodes) * episodes
        began = time.process_time()
        index = synthetic_index(
            Path(folder) / "index",
            options.frames,
            options.width,
            options.length,
            options.components,
        )
        return _measure(index, time.process_time() - began - making, options)


def _measure(
    index: LatentIndex, build_s: float | None, options: argparse.Namespace
) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    queries: list[tuple[NDArray[Any], list[tuple[int, int]]]] = []
    if build_s is None:
        for frame in rng.integers(len(index), size=options.queries):
            near = [(int(frame) - APART, int(frame) + APART + 1)]
            queries.append((np.array(index.latents[frame]), near))
    else:
        for number in range(options.queries):
            episode = walk(10_000_000 + number, options.length, options.width)
            queries.append((episode[rng.integers(len(episode))], []))
    index.nearest(queries[0][0], candidates=options.candidates)  # reads the file once
    lengths = squares(index)
    ours, ours_ms, theirs, theirs_ms = [], [], [], []
    for query, forbidden in queries:
        nearest = partial(index.nearest, query, candidates=options.candidates, forbidden=forbidden)
        found, took = timed(lambda search=nearest: int(search()[0][0]))  # type: ignore[misc]
        ours.append(found)
        ours_ms.append(took)
        found, took = timed(partial(exact, index, lengths, query, forbidden))
        theirs.append(found)
        theirs_ms.append(took)
    right = sum(one == other for one, other in zip(ours, theirs, strict=True))
    low, high = rate_interval(right, len(queries))
    p50, p95 = np.percentile(ours_ms, [50, 95])
    peer_ms = float(np.median(theirs_ms))
    return {
        "name": "search",
        "figures": {
            "latents": "synthetic" if build_s is not None else str(options.index),
            "frames": len(index),
            "width": index.latents.shape[1],
            "components": index.projected.shape[1],
            "candidates": options.candidates,
            "queries": len(queries),
            "build_cpu_s": None if build_s is None else round(build_s, 1),
            "query_cpu_ms_p50": round(float(p50), 2),
            "query_cpu_ms_p95": round(float(p95), 2),
            "recall_at_1": round(right / len(queries), 3),
            "recall_at_1_interval": [round(low, 3), round(high, 3)],
            "exact_cpu_ms_p50": round(peer_ms, 1),
            "projected_mb": round(index.projected.nbytes / 1e6, 1),
            "latents_mb": round(index.latents.nbytes / 1e6, 1),
        },
        "peer": "comparing the full latents of all frames, in blocks of float32; processor time",
        "ratio": round(peer_ms / max(float(p50), 1e-3), 1),
    }
