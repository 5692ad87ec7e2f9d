"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024, arXiv 2407.14435; Gemma Scope, 2408.05147).

With x the activation over a fixed scale C:

    z = ReLU((x - b_dec) W_enc + b_enc)      f = z * [z > threshold]      x^ = f W_dec + b_dec
    loss = |x - x^|^2 + lambda * number of active latents

The threshold learns by straight-through estimates with a rectangle kernel of width `bandwidth`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from basalt.errors import ConfigError

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
_MIN_THRESHOLD = 1e-6


@dataclass(frozen=True)
class SAEConfig:
    """Settings of one training; defaults suit a thousand steps, not Gemma Scope's million.

    Attributes:
        width: latents M.
        sparsity: lambda, weight of the sparsity term.
        target_l0: where set, the sparsity term is lambda * (L0 / target_l0 - 1)^2 on the batch's mean
            L0, instead of lambda * L0.
        bandwidth: of the straight-through kernel, in units of the scaled activation. Gemma Scope's
            0.001 needs a million steps; about 0.3 / sqrt(L0) suits a thousand.
        initial_threshold: of every latent.
        lr: Adam's step size after the warm-up.
        steps: optimizer steps.
        batch: activations a step.
        warmup: share of the steps in which lambda rises from 0; the step size rises in a tenth of them.
        grad_clip: largest norm of the gradient; without it the first steps, in which half of the
            latents fire, stay in Adam's moments for a thousand steps.
        seed: of weights and order.
    """

    width: int = 256
    sparsity: float = 0.05
    target_l0: float | None = None
    bandwidth: float = 0.1
    initial_threshold: float = 0.001
    lr: float = 3e-3
    steps: int = 1000
    batch: int = 512
    warmup: float = 0.2
    grad_clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sae: {name}={getattr(self, name)} must be at least 1")
        for name in ("bandwidth", "initial_threshold", "lr", "grad_clip"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"sae: {name}={getattr(self, name)} must be above 0")


class _Jump(torch.autograd.Function):
    """z * [z > threshold]; the threshold's gradient is -(threshold / bandwidth) K((z - threshold) / bandwidth)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2).to(z.dtype)
        to_threshold = -(threshold / ctx.bandwidth) * (near * grads[0]).sum(0)
        return grads[0] * (z > threshold), to_threshold, None


class _Active(torch.autograd.Function):
    """[z > threshold]; only the threshold takes a gradient, -(1 / bandwidth) K(...)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < ctx.bandwidth / 2).to(z.dtype)
        return None, -(near * grads[0]).sum(0) / ctx.bandwidth, None


class JumpReLUSAE(nn.Module):
    """The autoencoder: raw activations in, raw reconstructions out.

    Args:
        d_in: width d of the activation.
        width: latents M.
        scale: C, by which activations are divided before encoding; 1 when folded.
        centre: subtract `b_dec` before encoding; False when folded.
    """

    def __init__(self, d_in: int, width: int, *, scale: float = 1.0, centre: bool = True) -> None:
        super().__init__()
        self.scale = scale
        self.centre = centre
        directions = torch.randn(width, d_in)
        directions = directions / directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(width))
        self.b_dec = nn.Parameter(torch.zeros(d_in))
        self.threshold = nn.Parameter(torch.zeros(width))

    def preactivation(self, x: Tensor) -> Tensor:
        """Raw activations [..., d] -> z [..., M], in scaled units."""
        x = x / self.scale
        if self.centre:
            x = x - self.b_dec
        return (x @ self.W_enc + self.b_enc).relu()

    def encode(self, x: Tensor) -> Tensor:
        """Raw activations [..., d] -> latents [..., M], most of them exactly 0."""
        z = self.preactivation(x)
        return z * (z > self.threshold)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [..., M] -> reconstructed raw activations [..., d]."""
        return (latents @ self.W_dec + self.b_dec) * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction of raw activations [..., d]."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def folded(self) -> JumpReLUSAE:
        """The same function without scale and centring: latents are C times larger, the active set equal."""
        sae = JumpReLUSAE(*self.W_enc.shape, scale=1.0, centre=False)
        b_enc = self.b_enc - self.b_dec @ self.W_enc if self.centre else self.b_enc
        sae.W_enc.copy_(self.W_enc)
        sae.W_dec.copy_(self.W_dec)
        sae.b_enc.copy_(self.scale * b_enc)
        sae.b_dec.copy_(self.scale * self.b_dec)
        sae.threshold.copy_(self.scale * self.threshold)
        return sae

    @torch.no_grad()
    def normalise_decoder(self) -> None:
        """Unit length for every latent's direction."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))

    @torch.no_grad()
    def project_decoder_gradient(self) -> None:
        """Remove what would only change the directions' lengths from their gradient."""
        grad = self.W_dec.grad
        if grad is not None:
            grad.sub_((grad * self.W_dec).sum(1, keepdim=True) * self.W_dec)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices this small lose more to two threads' waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def train_sae(activations: Tensor, config: SAEConfig) -> JumpReLUSAE:
    """Train on raw activations [n, d], drawn in random order over all episodes; returns it folded.

    `b_dec` starts at the mean activation, since a policy's screen has large constant parts (hand,
    hotbar) and a short training would spend latents on them.

    Raises:
        ConfigError: not a matrix, fewer than two rows, NaN or infinite values, or all equal.
    """
    _check(activations)
    n, d_in = activations.shape
    scale = float(activations.square().sum(1).mean().sqrt())
    x = activations / scale
    generator = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        sae = JumpReLUSAE(d_in, config.width)
    with torch.no_grad():
        sae.b_dec.copy_(x.mean(0))
        sae.threshold.fill_(config.initial_threshold)
    optimizer = torch.optim.Adam(sae.parameters(), lr=config.lr, betas=(0.0, 0.999))
    order = torch.empty(0, dtype=torch.long)
    for step in range(config.steps):
        if len(order) < config.batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        batch, order = x[order[: config.batch]], order[config.batch :]
        done = (step + 1) / config.steps
        for group in optimizer.param_groups:
            group["lr"] = config.lr * min(1.0, 0.1 + 9 * done)
        z = sae.preactivation(batch)
        latents = _Jump.apply(z, sae.threshold, config.bandwidth)
        error = (sae.decode(latents) - batch).square().sum(1).mean()
        l0 = _Active.apply(z, sae.threshold, config.bandwidth).sum(1).mean()
        penalty = l0 if config.target_l0 is None else (l0 / config.target_l0 - 1).square()
        strength = config.sparsity * min(1.0, done / max(config.warmup, 1e-9))
        optimizer.zero_grad(set_to_none=True)
        (error + strength * penalty).backward()
        sae.project_decoder_gradient()
        nn.utils.clip_grad_norm_(sae.parameters(), config.grad_clip)
        optimizer.step()
        sae.normalise_decoder()
        with torch.no_grad():
            sae.threshold.clamp_(min=_MIN_THRESHOLD)
    sae.scale = scale
    return sae.folded().eval().requires_grad_(False)


def _check(activations: Tensor) -> None:
    if activations.dim() != 2 or len(activations) < 2:
        raise ConfigError(
            f"sae: activations have shape {list(activations.shape)}; expected at least two rows [n, d]"
        )
    finite = activations.isfinite().all(1)
    if not finite.all():
        bad = int((~finite).sum())
        raise ConfigError(
            f"sae: {bad} of {len(activations)} activations are NaN or infinite, "
            f"the first in row {int((~finite).nonzero()[0, 0])}"
        )
    if bool((activations == activations[0]).all()):
        raise ConfigError("sae: all activations are equal; there is nothing to reconstruct")


def save_sae(folder: Path, sae: JumpReLUSAE, metadata: Mapping[str, Any]) -> None:
    """Write a folded SAE in the layout that SAELens reads: safetensors and cfg.json.

    Args:
        folder: made, or replaced as a whole.
        sae: folded.
        metadata: JSON-ready facts, e.g. site and checkpoint.
    """
    if sae.centre or sae.scale != 1.0:
        raise ValueError("fold the autoencoder before saving it")
    d_in, width = sae.W_enc.shape
    config = {
        "architecture": "jumprelu",
        "d_in": d_in,
        "d_sae": width,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": dict(metadata),
    }
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    tensors = {name: value.detach().contiguous() for name, value in sae.state_dict().items()}
    save_file(tensors, partial / WEIGHTS)
    (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def load_sae(folder: Path) -> tuple[JumpReLUSAE, dict[str, Any]]:
    """A saved SAE and its metadata.

    Raises:
        ConfigError: files missing or damaged, or another architecture.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, json.JSONDecodeError, SafetensorError) as err:
        raise ConfigError(f"{folder}: not a saved autoencoder ({err})") from err
    if config.get("architecture") != "jumprelu" or config.get("apply_b_dec_to_input"):
        raise ConfigError(f"{folder / CONFIG}: only folded jumprelu autoencoders can be read")
    sae = JumpReLUSAE(config["d_in"], config["d_sae"], centre=False)
    try:
        sae.load_state_dict(tensors)
    except RuntimeError as err:
        raise ConfigError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {err}") from err
    return sae.eval().requires_grad_(False), config["metadata"]
