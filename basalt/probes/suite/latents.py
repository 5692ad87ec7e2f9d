"""Facts about each latent for the Probes page: how often it fires, where, how strongly, and examples."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from basalt.probes.hooks.store import ActivationStore
from basalt.probes.records import Latent, Moment
from basalt.probes.sae.model import SAE

WINDOW = 20
"""Number of frames before and after a moment that its clip and its curve show."""

MOMENTS, APART = 4, 40
"""Number of strongest moments kept per latent, and their least distance in frames within an episode."""

QUANTILES = (0.9, 0.5, 0.1)
HISTOGRAM_BINS = 20
_CHUNK = 8192


@torch.no_grad()
def describe_latents(sae: SAE, store: ActivationStore, hook_point: str) -> list[Latent]:
    """Describe every latent by all held-out rows of a store.

    Returns:
        One entry per latent, with the `MOMENTS` strongest frames, one example for each of `QUANTILES`,
        and `WINDOW` frames of its curve on either side of each.
    """
    rows = store.rows("held_out")
    n = store.count("held_out")
    parts = []
    for start in range(0, n, _CHUNK):
        f = sae.encode(store.read(hook_point, "held_out", np.arange(start, min(start + _CHUNK, n))))
        at = f.nonzero(as_tuple=True)
        parts.append((at[0].numpy() + start, at[1].numpy(), f[at].numpy()))
    row, latent, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(latent, kind="stable")
    row, latent, value = row[order], latent[order], value[order]
    width = sae.W_dec.shape[0]
    bounds = np.searchsorted(latent, np.arange(width + 1))
    return [
        _describe(row[a:b], value[a:b], rows.episode, rows.frame, n)
        for a, b in pairwise(bounds.tolist())
    ]


def _describe(
    row: NDArray[np.int64],
    value: NDArray[np.float32],
    episode: NDArray[np.int64],
    frame: NDArray[np.int64],
    n: int,
) -> Latent:
    """Describe one latent.

    Args:
        row: Rows on which it is active, ascending, int64 [k].
        value: Its values on them, float32 [k].
        episode: Episode of every row, int64 [n].
        frame: Frame of every row, int64 [n].
        n: Number of rows.
    """
    if not len(row):
        return Latent(density=0.0)
    active_episode = episode[row]
    mass = np.bincount(active_episode, weights=value)
    counts, _ = np.histogram(value, bins=HISTOGRAM_BINS, range=(0, float(value.max())))
    ranked = np.argsort(-value, kind="stable")

    def moment(at: int, quantile: float | None = None) -> Moment:
        number, middle = int(active_episode[at]), int(frame[row[at]])
        # Rows ascend by episode, then by frame. A clip shows all frames, including those that the
        # policy was not shown.
        first, last = np.searchsorted(episode, [number, number + 1])
        start = max(middle - WINDOW, int(frame[first]))
        end = min(middle + WINDOW, int(frame[last - 1]))
        shown = np.searchsorted(frame[first:last], [start, end + 1]) + first
        low, high = np.searchsorted(row, shown)
        curve = np.zeros(end + 1 - start, dtype=np.float32)
        curve[frame[row[low:high]] - start] = value[low:high]
        return Moment(
            episode=number,
            frame=middle,
            value=round(float(value[at]), 4),
            start=start,
            curve=tuple(round(float(x), 3) for x in curve),
            quantile=quantile,
        )

    chosen: list[int] = []
    for at in ranked[:400]:
        far = all(
            active_episode[at] != active_episode[other]
            or abs(int(row[at]) - int(row[other])) >= APART
            for other in chosen
        )
        if far:
            chosen.append(int(at))
        if len(chosen) == MOMENTS:
            break
    return Latent(
        density=len(row) / n,
        episodes=len(np.unique(active_episode)),
        top_share=float(mass.max() / mass.sum()),
        mean=float(value.mean()),
        max=float(value.max()),
        histogram=tuple(counts.tolist()),
        moments=tuple(moment(at) for at in chosen),
        examples=tuple(
            moment(int(ranked[round((1 - q) * (len(ranked) - 1))]), q) for q in QUANTILES
        ),
    )
