"""What a page shows of a latent: how often it fires, where, how strongly, and its strongest moments."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.probes.hooks.store import ActivationStore
from basalt.probes.sae import SAE

WINDOW = 20
"""Frames before and after a moment that its clip and its curve show."""

MOMENTS, APART = 4, 40
"""Strongest moments kept of a latent, at least so many frames apart within an episode."""

QUANTILES = (0.9, 0.5, 0.1)
HISTOGRAM_BINS = 20
_CHUNK = 8192


@torch.no_grad()
def describe_latents(sae: SAE, store: ActivationStore, site: str) -> list[dict[str, Any]]:
    """Every latent on all held-out rows.

    Returns:
        One JSON-ready row a latent: `density` (share of frames), `episodes` (how many it fires in),
        `top_share` (share of its mass in its strongest episode: near 1 is a memorised clip), `mean` and
        `max` of its active values, `histogram` of them (`HISTOGRAM_BINS` from 0 to `max`), `moments` and
        `examples` (one at each of `QUANTILES` of the active values): `episode` of the store, `frame`,
        `value`, and the `curve` over `WINDOW` frames on either side, from frame `start` on; 0 where the
        latent is silent or the policy was not shown the frame (`drop_null`).
    """
    rows = store.rows("held_out")
    n = store.count("held_out")
    parts = []
    for start in range(0, n, _CHUNK):
        f = sae.encode(store.read(site, "held_out", np.arange(start, min(start + _CHUNK, n))))
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
) -> dict[str, Any]:
    """One latent, from the rows (ascending) on which it is active, and episode and frame of every row."""
    if not len(row):
        return {"density": 0.0, "episodes": 0, "top_share": None, "mean": None, "max": None,
                "histogram": [], "moments": [], "examples": []}  # fmt: skip
    where = episode[row]
    mass = np.bincount(where, weights=value)
    counts, _ = np.histogram(value, bins=HISTOGRAM_BINS, range=(0, float(value.max())))
    ranked = np.argsort(-value, kind="stable")

    def moment(at: int) -> dict[str, Any]:
        number, middle = int(where[at]), int(frame[row[at]])
        # Rows ascend by episode, then by frame; a film shows all frames, also those that were left out.
        first, last = np.searchsorted(episode, [number, number + 1])
        start = max(middle - WINDOW, int(frame[first]))
        end = min(middle + WINDOW, int(frame[last - 1]))
        shown = np.searchsorted(frame[first:last], [start, end + 1]) + first
        low, high = np.searchsorted(row, shown)
        curve = np.zeros(end + 1 - start, dtype=np.float32)
        curve[frame[row[low:high]] - start] = value[low:high]
        return {
            "episode": number,
            "frame": middle,
            "value": round(float(value[at]), 4),
            "start": start,
            "curve": [round(float(x), 3) for x in curve],
        }

    chosen: list[int] = []
    for at in ranked[:400]:
        far = all(
            where[at] != where[other] or abs(int(row[at]) - int(row[other])) >= APART
            for other in chosen
        )
        if far:
            chosen.append(int(at))
        if len(chosen) == MOMENTS:
            break
    examples = [
        {"quantile": q} | moment(int(ranked[round((1 - q) * (len(ranked) - 1))])) for q in QUANTILES
    ]
    return {
        "density": len(row) / n,
        "episodes": len(np.unique(where)),
        "top_share": float(mass.max() / mass.sum()),
        "mean": float(value.mean()),
        "max": float(value.max()),
        "histogram": [int(c) for c in counts],
        "moments": [moment(at) for at in chosen],
        "examples": examples,
    }


def density(described: list[dict[str, Any]]) -> Tensor:
    """Share of frames on which each latent fires, float32 [M]."""
    return torch.tensor([row["density"] for row in described])
