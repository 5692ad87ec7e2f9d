"""Augmentation of training frames: small shifts and changes of colour, the same for all frames of a row."""

import numpy as np
import torch
from torch import Tensor


def generator(*numbers: int) -> torch.Generator:
    """A generator that depends on these numbers only, such as seed and step, so that a resumed run draws the same."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))


def augment(
    frames: Tensor,
    draws: torch.Generator,
    *,
    shift: int,
    colour: float,
    share: tuple[int, int] = (0, 1),
) -> Tensor:
    """Shift each row's frames and change their brightness, contrast and white balance.

    Args:
        frames: uint8 [B, T, height, width, 3] RGB.
        draws: Random numbers, on the CPU.
        shift: Largest shift in pixels along each axis; the edge is repeated.
        colour: Largest relative change of brightness, of contrast, and of each colour; at most 1.
        share: (k, n): the frames are the rows k, k + n, ... of a batch, and change as they would in it.

    Returns:
        New frames of the same shape and type.
    """
    first, step = share
    rows = len(frames) * step
    out = frames
    if shift:
        moves = [
            torch.randint(-shift, shift + 1, (2,), generator=draws).tolist() for _ in range(rows)
        ]
        own = moves[first::step]
        out = torch.stack([_shifted(row, *move) for row, move in zip(out, own, strict=True)])
    if colour:
        factors = (2 * torch.rand(rows, 5, generator=draws) - 1) * colour + 1
        factors = factors[first::step].to(frames.device)[:, :, None, None, None]
        contrast, gains = factors[:, 0:1], (factors[:, 1:2] * factors[:, 2:5]).movedim(1, -1)
        values = out.float()
        middle = values.mean((1, 2, 3, 4), keepdim=True)
        out = (((values - middle) * contrast + middle) * gains).clamp(0, 255).to(torch.uint8)
    return out


def _shifted(row: Tensor, down: int, right: int) -> Tensor:
    """Frames [T, H, W, 3] moved by a number of pixels along both axes."""
    height, width = row.shape[1:3]
    rows = (torch.arange(height, device=row.device) - down).clamp(0, height - 1)
    columns = (torch.arange(width, device=row.device) - right).clamp(0, width - 1)
    return row[:, rows][:, :, columns]
