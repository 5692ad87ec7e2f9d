"""The support gate: whether a frame is like the frames that a reward model was trained on.

Members of an ensemble that share their data may agree where none of them knows anything, so their disagreement alone is no
protection against an optimiser that looks for such frames.
"""

import torch
from torch import Tensor, nn

NEIGHBOURS = 5
"""Number of nearest frames whose mean distance counts."""

PERCENTILE = 99.0
"""Percentile of the training frames' own distances that is the limit."""

_CHUNK = 4_096


class Support(nn.Module):
    """Frames that a model was trained on, and how far from them another frame may be.

    Args:
        references: Number of frames.
        components: Number of components of each.

    Attributes:
        frames: The frames, float32 [references, components].
        limit: Largest distance of a frame that is like them.
    """

    frames: Tensor
    limit: Tensor

    def __init__(self, references: int, components: int) -> None:
        super().__init__()
        self.register_buffer("frames", torch.zeros(references, components))
        self.register_buffer("limit", torch.ones(()))

    @torch.no_grad()
    def settle(self, frames: Tensor, places: Tensor) -> None:
        """Keep frames, and set the limit by their distances to each other.

        Neighbours in time are nearly equal. So a frame's distance is measured to frames of other worlds, as that of a frame of
        a new world will be.

        Args:
            frames: The frames, float [references, components], of two worlds or more.
            places: Number of each frame's world, int64 [references].
        """
        self.frames.copy_(frames)
        several = len(places.unique()) > 1
        distances = [
            self._nearest(frames[places == place], frames[places != place] if several else frames)
            for place in places.unique()
        ]
        self.limit.copy_(torch.quantile(torch.cat(distances), PERCENTILE / 100).clamp(min=1e-6))

    @torch.no_grad()
    def distance(self, frames: Tensor) -> Tensor:
        """Distance of frames [n, components] in units of the limit, float [n]; above 1 a frame is not like the others."""
        return self._nearest(frames, self.frames) / self.limit

    @staticmethod
    def _nearest(frames: Tensor, others: Tensor) -> Tensor:
        """Mean distance to the nearest of some others, float [n]."""
        count = min(NEIGHBOURS, len(others))
        parts = [
            torch.cdist(part, others).topk(count, largest=False).values.mean(-1)
            for part in frames.split(_CHUNK)
        ]
        return torch.cat(parts) if parts else frames.new_zeros(0)
