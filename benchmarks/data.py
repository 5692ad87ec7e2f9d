"""`basalt bench data`: training's start on a data set of BEDD's size, and how well it is shuffled.

The catalogue is synthetic: plays with lengths like people's, random actions, and no videos, since a start reads none.

- **start**: seconds and memory until the first batch is planned, in a process of its own. Its peer is a listing of a folder
  with the plays' files, empty and on this disk; an object store lists 1,000 names per request.
- **shuffling**: a window of plays (`shuffle_plays=`, `basalt.data.plans.EndlessPlan`) in one pass over all segments: the
  mean distance in draws between neighbouring segments of a play, and the share of draws from the same play as the one
  before. Its peer is a full shuffle of all segments in memory, measured in the same run; `expected` are the formulas.
"""

import argparse
import resource
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from basalt.core.actions import N_BUTTONS, N_CAMERA
from basalt.data.catalogue import NAME, SCHEMA, CatalogueFacts, load_catalogued, write_facts
from basalt.data.plans import EndlessPlan
from basalt.io.errors import ConfigError
from basalt.io.processes import spawned_pool

SUFFIXES = (".mp4", ".jsonl", ".json")
"""Files of a play."""

VIDEO_BYTES = 50_000_000
"""Size of a play's video: 700 GB in 14,000 plays."""

HELD = 5
"""Mean number of frames for which a synthetic action is held."""

_ROWS = 64


def lengths(plays: int, frames: int, seed: int = 0) -> NDArray[np.int64]:
    """Numbers of frames of plays, int64 [plays], that add up to `frames`; their logarithms are normal (deviation 0.5)."""
    weights = np.random.default_rng(seed).lognormal(0, 0.5, plays)
    edges = np.rint(np.cumsum(weights) / weights.sum() * (frames - plays)).astype(np.int64)
    return np.diff(edges, prepend=0) + 1


def write_synthetic(path: Path, counts: NDArray[np.int64]) -> None:
    """Write the catalogue of plays with these numbers of frames."""
    rng = np.random.default_rng(0)
    facts = CatalogueFacts(labels="corrected", frames=int(counts.sum()))
    with parquet.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(counts), _ROWS):
            here = counts[start : start + _ROWS]
            offsets = np.cumsum([0, *here]).astype(np.int32)
            held = np.cumsum(rng.random(offsets[-1]) < 1 / HELD)

            def lists(values: NDArray[Any], offsets: NDArray[np.int32] = offsets) -> pa.Array:
                return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))

            esc = np.zeros(offsets[-1], np.bool_)
            esc[offsets[1:] - 1] = True
            numbers = range(start, start + len(here))
            columns = {
                "name": [f"play-{number:06}" for number in numbers],
                "task": ["find_cave"] * len(here),
                "split_group": [f"find_cave:{100_000 + number}" for number in numbers],
                "files": [
                    [
                        {"path": f"play-{number:06}{suffix}", "bytes": VIDEO_BYTES if suffix == ".mp4" else 1, "sha256": f"{number:064x}"}
                        for suffix in SUFFIXES
                    ]
                    for number in numbers
                ],
                "frames": here.astype(np.int32),
                "buttons": lists(rng.integers(0, N_BUTTONS, held[-1] + 1, np.int16)[held]),
                "camera": lists(rng.integers(0, N_CAMERA, held[-1] + 1, np.int16)[held]),
                "esc": lists(esc),
                "null": lists(np.zeros(offsets[-1], np.bool_)),
                "labelled": lists(np.ones(offsets[-1], np.bool_)),
            }  # fmt: skip
            writer.write_table(pa.Table.from_pydict(columns, SCHEMA))
        write_facts(writer, facts)


def started(
    path: Path, batch_size: int, seq_len: int, segment: int, window: int
) -> dict[str, float]:
    """Seconds and megabytes of a start from a catalogue, in this process."""
    before, start, busy = _peak_mb(), time.perf_counter(), time.process_time()
    episodes = load_catalogued(path, embedded=False)
    loaded = time.perf_counter()
    plan = EndlessPlan(
        [len(one) for one in episodes], batch_size, seq_len, 0, True, segment, window
    )
    next(plan)
    done = time.perf_counter()
    return {
        "start_s": round(done - start, 3),
        "start_cpu_s": round(time.process_time() - busy, 3),
        "first_plan_s": round(done - loaded, 3),
        "peak_mb": round(_peak_mb(), 1),
        "before_mb": round(before, 1),
        "bytes_per_frame": round((_peak_mb() - before) * 2**20 / sum(map(len, episodes)), 1),
    }


def listed(folder: Path) -> dict[str, float]:
    """Seconds to list a folder with the sizes of its files, in this process."""
    start, busy = time.perf_counter(), time.process_time()
    files = sum(path.stat().st_size >= 0 for path in folder.rglob("*"))
    return {
        "files": files,
        "seconds": round(time.perf_counter() - start, 3),
        "cpu_s": round(time.process_time() - busy, 3),
    }


def window_quality(
    counts: NDArray[np.int64], segment: int, window: int, seed: int = 0
) -> dict[str, float]:
    """Distance between neighbouring segments of a play, and the share of draws from the play of the draw before.

    Args:
        counts: Number of frames of each play.
        segment: Number of frames of a segment.
        window: Number of plays in the window.
        seed: Seed of the plan.
    """
    plan = EndlessPlan(counts.tolist(), 1, 1, seed, False, segment, window)
    drawn: list[list[tuple[int, int, int]]] = [[] for _ in counts]
    left = counts.copy()
    waiting, number, same, before = len(counts), 0, 0, -1
    start = time.perf_counter()
    while waiting:  # until each play was shown once
        piece = plan.draw()
        if left[piece.episode] > 0:
            drawn[piece.episode].append((piece.start, piece.stop, number))
            left[piece.episode] -= piece.stop - piece.start
            waiting -= left[piece.episode] <= 0
        same += piece.episode == before
        before, number = piece.episode, number + 1
    seconds = time.perf_counter() - start
    total, pairs, expected = 0, 0, 0.0
    for segments in drawn:
        ordered = sorted(segments)
        total += sum(abs(b[2] - a[2]) for a, b in pairwise(ordered))
        pairs += len(ordered) - 1
        expected += (len(ordered) - 1) * window * (len(ordered) + 1) / 3
    return {
        "neighbour_draws": round(total / max(pairs, 1), 1),
        "expected_neighbour_draws": round(expected / max(pairs, 1), 1),
        "same_play_share": round(same / number, 6),
        "expected_same_play_share": round(1 / min(window, len(counts)), 6),
        "draws_per_s": round(number / seconds),
    }


def full_quality(counts: NDArray[np.int64], segment: int, seed: int = 0) -> dict[str, float]:
    """The same figures of a full shuffle of all segments in memory."""
    start, busy = time.perf_counter(), time.process_time()
    plays = np.repeat(np.arange(len(counts)), -(-counts // segment))
    order = np.random.default_rng(seed).permutation(len(plays))
    at = np.empty(len(plays), np.int64)
    at[order] = np.arange(len(plays))
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    within = plays[1:] == plays[:-1]
    shares = np.bincount(plays) / len(plays)
    return {
        "segments": len(plays),
        "neighbour_draws": round(float(np.abs(np.diff(at))[within].mean()), 1),
        "expected_neighbour_draws": round((len(plays) + 1) / 3, 1),
        "same_play_share": round(float((plays[order][1:] == plays[order][:-1]).mean()), 6),
        "expected_same_play_share": round(
            float((shares * (shares * len(plays) - 1)).sum() / (len(plays) - 1)), 6
        ),
        "seconds": round(seconds, 3),
        "cpu_s": round(cpu, 3),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(argv: list[str]) -> dict[str, Any]:
    """The measurement, ready to be printed as JSON.

    Args:
        argv: Arguments `--plays N`, `--frames N`, `--window N`, `--segment N`, `--batch N`, `--length N`.

    Raises:
        ConfigError: an argument is below 1, or there are fewer frames than plays.
    """
    parser = argparse.ArgumentParser(
        prog="basalt bench data", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--plays", type=int, default=14_000)
    parser.add_argument("--frames", type=int, default=26_000_000)
    parser.add_argument("--window", type=int, default=256, help="plays that are mixed")
    parser.add_argument("--segment", type=int, default=64, help="frames of a segment")
    parser.add_argument("--batch", type=int, default=64, help="sequences of a batch")
    parser.add_argument("--length", type=int, default=64, help="frames of a sequence")
    options = parser.parse_args(argv)
    if min(vars(options).values()) < 1 or options.frames < options.plays:
        raise ConfigError(
            "bench data: expected at least 1 of everything, and a frame for each play"
        )
    counts = lengths(options.plays, options.frames)
    with TemporaryDirectory(prefix="basalt-bench-data-") as name:
        folder = Path(name) / "files"
        folder.mkdir()
        catalogue = Path(name) / NAME
        write_synthetic(catalogue, counts)
        for number in range(options.plays):
            for suffix in SUFFIXES:
                (folder / f"play-{number:06}{suffix}").touch()
        with spawned_pool(1) as pool:
            listing = pool.submit(listed, folder).result()
        arguments = (catalogue, options.batch, options.length, options.segment, options.window)
        with spawned_pool(1) as pool:
            start = pool.submit(started, *arguments).result()
        megabytes = catalogue.stat().st_size / 1e6
    window = window_quality(counts, options.segment, options.window)
    full = full_quality(counts, options.segment)
    return {
        "name": "data",
        "figures": {
            "plays": options.plays,
            "frames": int(counts.sum()),
            "catalogue_mb": round(megabytes, 1),
            **start,
            "listing": listing,
            "window_plays": options.window,
            "segment_frames": options.segment,
            "window": window,
            "full_shuffle": full,
            "window_on_disk_gb": round(options.window * VIDEO_BYTES / 1e9, 1),
        },
        "peer": f"a full shuffle of {full['segments']:,.0f} segments in memory: distance between neighbours",
        "ratio": round(window["neighbour_draws"] / full["neighbour_draws"], 4),
    }
