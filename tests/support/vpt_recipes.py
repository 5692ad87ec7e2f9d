"""Weights and pictures of the golden full-size policy, made from its recipe instead of stored."""

import hashlib
from typing import Any

import numpy as np
import torch


def _offset_scale(key: str, shape: list[int]) -> tuple[float, float]:
    fixed = {
        "b_nd": (0.0, 0.5),
        "running_mean": (0.3, 0.1),
        "running_mean_sq": (2.0, 0.2),
        "debiasing_term": (0.75, 0.0),
    }
    last = key.rsplit(".", 1)[-1]
    if last in fixed:
        return fixed[last]
    if len(shape) >= 2:
        if "q_layer" in key or "k_layer" in key:
            gain = 2.5
        elif "r_layer" in key:
            gain = 1.0
        elif key.startswith("pi_head"):
            gain = 3.0
        elif "proj_layer" in key or "v_layer" in key:
            gain = 1.5
        elif "net.img_process" in key or "mlp0" in key or "conv3d_layer" in key:
            gain = 1.6
        else:
            gain = 1.0
        return 0.0, gain / float(np.sqrt(np.prod(shape[1:])))
    return (1.0, 0.2) if key.endswith(".weight") else (0.0, 0.1)


def recipe_weights(shapes: dict[str, list[int]], weight_seed: int) -> dict[str, torch.Tensor]:
    """State dict by the recipe in the golden data's README."""
    weights = {}
    for key, shape in shapes.items():
        digest = hashlib.sha256(f"{weight_seed}:{key}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "little")))
        z = np.sqrt(3) * (2 * rng.random(int(np.prod(shape))) - 1)
        offset, scale = _offset_scale(key, shape)
        weights[key] = torch.from_numpy((offset + scale * z).reshape(shape).astype(np.float32))
    return weights


def recipe_images(recipe: dict[str, Any]) -> np.ndarray:
    """uint8 [B, T, 128, 128, 3] by the recipe in the golden data's README."""
    rng = np.random.Generator(np.random.PCG64(recipe["image_seed"]))
    batch, time = recipe["image_batch"], recipe["image_time"]
    base = np.floor(rng.random((batch, 16, 16, 3)) * 200).repeat(8, 1).repeat(8, 2)
    flick = np.floor(rng.random((batch, time, 8, 8, 3)) * 56).repeat(16, 2).repeat(16, 3)
    images = np.empty((batch, time, 128, 128, 3), dtype=np.uint8)
    for i in range(batch):
        for j in range(time):
            images[i, j] = np.roll(base[i], (3 * j, 5 * j + i), axis=(0, 1)) + flick[i, j]
    for i, j in recipe["noise_frames"]:
        images[i, j] = np.floor(rng.random((128, 128, 3)) * 256)
    return images
