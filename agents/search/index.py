"""An index of latents: exact nearest neighbours in a projection, ranked again on the full vectors.

A search compares a query with all frames in the space of the first principal components, one matrix-vector product,
and then the best candidates with the full latents. Both stay on disk and are mapped; an index keeps 16 bytes a frame
in memory of its own, 0.4 GB for 26 million frames. It needs no graph and no building time, and there is nothing to
tune but the number of candidates.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.search.pitch import demonstrated_pitch
from basalt.core.actions import (
    CAMERA_ON,
    N_BUTTONS,
    N_CAMERA,
    N_CAMERA_BINS,
    bins_to_camera,
    indices_to_env,
)
from basalt.data.components import principal_components
from basalt.io.atomic import replacing_folder
from basalt.io.errors import ActionError, ConfigError
from basalt.io.untrusted import parse_json, read_bounded

FORMAT, VERSION = "basalt-latent-index", 3
"""Version 1 has no `pitch`, which is computed while such an index is opened; versions 1 and 2 hold the full latents."""

_CHUNK = 65_536


@dataclass(frozen=True)
class LatentIndex:
    """Latents of demonstrations with the actions taken at them; episodes one after the other.

    Attributes:
        latents: Latents, float16 [n, width], mapped from disk; of a packed index the projected ones [n, components].
        projected: Latents in principal components, float32 [n, components], mapped from disk.
        mean: Mean of the latents, float32 [width].
        components: Principal components, float32 [width, components].
        starts: First frame of each episode, int64 [episodes + 1]; the last entry is n.
        buttons: VPT's index of the buttons at each frame, int16 [n].
        camera: VPT's index of the camera, int16 [n].
        pitch: Pitch before each frame's action, float32 [n]; see `agents.search.pitch.demonstrated_pitch`.
        facts: What the index was made of, JSON-ready.
    """

    latents: NDArray[np.float16]
    projected: NDArray[np.float32]
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    starts: NDArray[np.int64]
    buttons: NDArray[np.int16]
    camera: NDArray[np.int16]
    pitch: NDArray[np.float32]
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.projected)

    def episode_end(self, frame: int) -> int:
        """The frame after the last one of a frame's episode."""
        return int(self.starts[np.searchsorted(self.starts, frame, side="right")])

    def distance(self, query: NDArray[np.floating[Any]], frames: Any) -> NDArray[np.float32]:
        """Euclidean distance of a query [width] from the latents of some frames, float32."""
        point = self._project(query) if self.packed else query.astype(np.float32)
        difference = self.latents[frames].astype(np.float32) - point
        return np.asarray(np.sqrt((difference**2).sum(-1)), dtype=np.float32)

    def nearest(
        self,
        query: NDArray[np.floating[Any]],
        k: int = 1,
        *,
        candidates: int = 50,
        forbidden: Sequence[tuple[int, int]] = (),
        among: NDArray[np.bool_] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The nearest frames to a query and their distances, nearest first.

        Args:
            query: A latent, float [width].
            k: Number of neighbours.
            candidates: Number of frames that are ranked again on the full latents.
            forbidden: Ranges [start, stop) of frames that may not be found.
            among: Which frames may be found, bool [n]; None for all.
        """
        point = self._project(query)
        # Without the query's own square, which is the same for all frames.
        scores = self._squares - 2 * (self.projected @ point)
        for start, stop in forbidden:
            scores[max(0, start) : stop] = np.inf
        if among is not None:
            scores[~among] = np.inf
        wanted = min(max(candidates, k), len(scores))
        best = np.argpartition(scores, wanted - 1)[:wanted]
        best = np.sort(
            best[np.isfinite(scores[best])]
        )  # in order of frames, so that ties are decided alike
        distances = self.distance(query, best)
        order = np.argsort(distances, kind="stable")[:k]
        return best[order].astype(np.int64), distances[order]

    def turns_within(self, frames: int, degrees: float) -> NDArray[np.bool_]:
        """Whether each frame's episode turns left or right by at least some degrees within some frames, bool [n]."""
        yaw = bins_to_camera(np.arange(N_CAMERA_BINS))
        taken = np.where(CAMERA_ON[self.buttons], yaw[self.camera % N_CAMERA_BINS], 0.0)
        heading = np.concatenate([[0.0], np.cumsum(taken)])
        here = np.arange(len(self))
        turned = heading[np.minimum(here + frames, self._ends)] - heading[here]
        return np.abs(turned) >= degrees

    def ends_within(self, frames: int) -> NDArray[np.bool_]:
        """Whether at most some frames of each frame's episode are left, bool [n]."""
        return np.asarray(self._ends - np.arange(len(self)) <= frames)

    @property
    def packed(self) -> bool:
        """Whether it holds the projected latents alone; see `agents.search.pack`."""
        return self.latents.shape[1] != len(self.mean)

    def _project(self, query: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        return np.asarray((query.astype(np.float32) - self.mean) @ self.components)

    @property
    def _ends(self) -> NDArray[np.int64]:
        """The frame after the last one of each frame's episode, int64 [n]."""
        return np.repeat(self.starts[1:], np.diff(self.starts))

    @property
    def _squares(self) -> NDArray[np.float32]:
        found = self.__dict__.get("_cached_squares")
        if found is None:
            found = np.einsum("nc,nc->n", self.projected, self.projected)
            object.__setattr__(self, "_cached_squares", found)
        return np.asarray(found)

    def typical_distance(self, frames_apart: int, percentile: float, seed: int = 0) -> float:
        """Percentile of the distance between frames of one episode that are some frames apart."""
        first = np.arange(len(self) - frames_apart)
        episode = np.searchsorted(self.starts, first, side="right")
        first = first[episode == np.searchsorted(self.starts, first + frames_apart, side="right")]
        if not len(first):
            raise ConfigError(
                f"index: expected an episode longer than {frames_apart} frames; embed longer demonstrations"
            )
        sample = np.sort(np.random.default_rng(seed).permutation(first)[:2000])
        ahead = self.latents[sample + frames_apart].astype(np.float32)
        apart = np.linalg.norm(self.latents[sample].astype(np.float32) - ahead, axis=1)
        return float(np.percentile(apart, percentile))


@dataclass(frozen=True)
class Demonstration:
    """One episode to index.

    Attributes:
        read: Reads its latents, float [n, width]. Only one episode is in memory at a time.
        width: Width of the latents.
        buttons: VPT's index of the buttons, int [n].
        camera: VPT's index of the camera, int [n].
    """

    read: Callable[[], NDArray[Any]]
    width: int
    buttons: NDArray[np.integer[Any]]
    camera: NDArray[np.integer[Any]]


_KINDS = {
    "latents": "f", "projected": "f", "mean": "f", "components": "f", "starts": "i", "buttons": "i", "camera": "i",
    "pitch": "f",
}  # fmt: skip
"""Kind of each array's numbers, as in numpy's `dtype.kind`."""

_MAPPED = ("latents", "projected")

_DERIVED = ("projected", "pitch")
"""Computed where the folder does not hold them: of a packed index, of one of version 1."""
"""Arrays that stay on disk."""


def build_index(
    folder: Path,
    episodes: Sequence[Demonstration],
    *,
    components: int = 32,
    facts: dict[str, Any] | None = None,
) -> LatentIndex:
    """Write an index and open it.

    Args:
        folder: Folder to write; one that exists is replaced as a whole.
        episodes: What to index.
        components: Number of principal components.
        facts: What the index is made of, JSON-ready.

    Raises:
        ConfigError: There are no frames, fewer dimensions than components, or latents that are not numbers that
            float16 holds.
    """
    episodes = [one for one in episodes if len(one.buttons)]
    lengths = [len(one.buttons) for one in episodes]
    n = sum(lengths)
    if n < 2:
        raise ConfigError("index: expected at least 2 frames; embed demonstrations first")
    width = episodes[0].width
    if not 1 <= components <= width:
        raise ConfigError(
            f"components: expected 1 to {width}, the width of the latents, got {components}"
        )
    with replacing_folder(folder) as partial:
        latents = np.lib.format.open_memmap(partial / "latents.npy", "w+", np.float16, (n, width))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        for one, start, stop in zip(episodes, starts, starts[1:], strict=False):
            with np.errstate(over="ignore"):  # seen below
                latents[start:stop] = values = one.read().astype(np.float16)
            if not np.isfinite(values).all():
                raise ConfigError(
                    "index: expected finite latents within float16's range; embed the demonstrations again"
                )
        latents.flush()
        mean, basis = principal_components(latents, components)
        projected = np.lib.format.open_memmap(
            partial / "projected.npy", "w+", np.float32, (n, components)
        )
        for start in range(0, n, _CHUNK):
            chunk = latents[start : start + _CHUNK].astype(np.float32)
            projected[start : start + _CHUNK] = (chunk - mean) @ basis
        projected.flush()
        arrays: dict[str, NDArray[Any]] = {
            "mean": mean,
            "components": basis,
            "starts": starts,
            "buttons": np.concatenate([one.buttons for one in episodes]).astype(np.int16),
            "camera": np.concatenate([one.camera for one in episodes]).astype(np.int16),
        }
        arrays["pitch"] = _pitch(arrays["buttons"], arrays["camera"], starts)
        write_index(partial, arrays, facts or {})
    return open_index(folder)


def write_index(folder: Path, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> None:
    """Write arrays of an index by their names, and what it is made of, into a folder."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    header = {"format": FORMAT, "version": VERSION, "facts": facts}
    (folder / "index.json").write_text(json.dumps(header, indent=1), encoding="utf-8")


def open_index(folder: Path) -> LatentIndex:
    """Open an index; the full latents stay on disk.

    Raises:
        ConfigError: The folder holds no index, or a damaged one.
    """
    try:
        header = parse_json(read_bounded(folder / "index.json"))
        if header.get("format") != FORMAT or header.get("version") not in (1, 2, VERSION):
            raise ValueError(f"format {header.get('format')!r}, version {header.get('version')!r}")
        arrays = {
            name: np.load(
                folder / f"{name}.npy",
                mmap_mode="r" if name in _MAPPED else None,
                allow_pickle=False,
            )
            for name in _KINDS
            if (folder / f"{name}.npy").exists() or name not in _DERIVED
        }
        if "projected" not in arrays:  # packed
            arrays["projected"] = arrays["latents"].astype(np.float32)
        if "pitch" not in arrays:
            arrays["pitch"] = _pitch(arrays["buttons"], arrays["camera"], arrays["starts"])
        index = LatentIndex(**arrays, facts=dict(header["facts"]))
        n, held = index.latents.shape
        width, components = index.components.shape
        shapes = {
            "latents": (n, held if held == width else components), "projected": (n, components), "mean": (width,),
            "buttons": (n,), "camera": (n,), "pitch": (n,),
        }  # fmt: skip
        wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
        wrong += [name for name, kind in _KINDS.items() if arrays[name].dtype.kind != kind]
        limits = {"buttons": N_BUTTONS, "camera": N_CAMERA}
        wrong += [
            name
            for name, n in limits.items()
            if not ((arrays[name] >= 0) & (arrays[name] < n)).all()
        ]
        wrong += [
            name
            for name in ("projected", "mean", "components")
            if not np.isfinite(arrays[name]).all()
        ]
        if (
            wrong
            or index.starts[0] != 0
            or index.starts[-1] != n
            or (np.diff(index.starts) < 1).any()
        ):
            raise ValueError(f"arrays that do not fit each other ({', '.join(wrong) or 'starts'})")
    except (
        OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, ActionError,
    ) as err:  # fmt: skip
        raise ConfigError(
            f"{folder}: expected an index written by `basalt train agent=search` ({err}); build it again"
        ) from err
    return index


def _pitch(
    buttons: NDArray[np.integer[Any]], camera: NDArray[np.integer[Any]], starts: NDArray[Any]
) -> NDArray[np.float32]:
    """Pitch before each frame's action, float32 [n]; each episode begins at 0."""
    episodes = [
        demonstrated_pitch(indices_to_env(buttons[start:stop], camera[start:stop]))
        for start, stop in pairwise(starts)
    ]
    return np.concatenate(episodes).astype(np.float32)
