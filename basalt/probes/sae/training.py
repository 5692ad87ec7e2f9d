"""The training loop: one autoencoder or several, in one pass over the activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from tqdm import tqdm

from basalt.io.errors import ConfigError
from basalt.probes.sae.base import TrainingSAE
from basalt.probes.sae.batchtopk import BatchTopKTraining
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.gated import GatedTraining
from basalt.probes.sae.jumprelu import JumpReLUTraining
from basalt.probes.sae.matryoshka import MatryoshkaTraining
from basalt.probes.sae.model import SAE
from basalt.probes.sae.relu import ReLUTraining
from basalt.probes.sae.topk import TopKTraining

TRAININGS: dict[str, type[TrainingSAE]] = {
    "relu": ReLUTraining,
    "gated": GatedTraining,
    "jumprelu": JumpReLUTraining,
    "topk": TopKTraining,
    "batchtopk": BatchTopKTraining,
    "matryoshka": MatryoshkaTraining,
}

_LR_WARMUP = 0.1
_RESAMPLED = ("relu", "gated")


class Trainer:
    """One autoencoder and its optimizer; `step` takes a batch.

    Args:
        config: of the training.
        first: raw activations [n, d] by which biases begin.
        scale: C, by which activations are divided.
    """

    def __init__(self, config: SAEConfig, first: Tensor, scale: float) -> None:
        self.config = config
        self.scale = scale
        self.steps_done = 0
        # Numbers drawn on the CPU, so that a seed means the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.sae = TRAININGS[config.architecture](first.shape[1], config)
        self.sae.begin(first.float().cpu() / scale)
        self.sae.to(first.device)
        self.optimizer = torch.optim.Adam(
            self.sae.parameters(), lr=config.lr, betas=(0.0, 0.999), fused=True
        )
        self.quiet = torch.zeros(config.width, dtype=torch.long, device=first.device)
        half = config.steps // 2
        count = config.resample if config.architecture in _RESAMPLED else 0
        self._resample_at = {round((i + 1) * half / count) for i in range(count)}

    def step(self, x: Tensor) -> dict[str, float]:
        """One optimizer step on raw activations [B, d]; returns `error` and `l0`."""
        config, sae = self.config, self.sae
        x = x.float() / self.scale
        done = (self.steps_done + 1) / config.steps
        progress = min(1.0, done / max(config.warmup, 1e-9))
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * _rate(done, config.decay)
        objective = sae.objective(x, self.quiet > config.dead_after, progress)
        self.optimizer.zero_grad(set_to_none=True)
        objective.loss.backward()
        sae.project_decoder_gradient()
        nn.utils.clip_grad_norm_(sae.parameters(), config.grad_clip)
        self.optimizer.step()
        l0 = float(objective.l0.detach())
        sae.after_step(l0, progress)
        self.quiet = (self.quiet + len(x)).masked_fill(objective.fired, 0)
        self.steps_done += 1
        if self.steps_done in self._resample_at:
            self._resample(x)
        return {"error": float(objective.error.detach()), "l0": l0}

    @torch.no_grad()
    def _resample(self, x: Tensor) -> None:
        """Begin silent latents anew on activations that are rebuilt badly (Bricken et al. 2023)."""
        sae = self.sae
        dead = (self.quiet > self.config.dead_after).nonzero()[:, 0]
        if not len(dead):
            return
        error = x - sae.folded(1.0).to(x.device)(x)
        weight = error.square().sum(1).square().cpu()
        generator = torch.Generator().manual_seed(self.config.seed + self.steps_done)
        chosen = torch.multinomial(weight + 1e-12, len(dead), replacement=True, generator=generator)
        direction = error[chosen.to(x.device)]
        direction = direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-12)
        alive = torch.ones_like(self.quiet, dtype=torch.bool)
        alive[dead] = False
        size = sae.W_enc[alive].norm(dim=1).mean() if alive.any() else sae.W_enc.norm(dim=1).mean()
        sae.W_dec[dead] = direction
        sae.W_enc[dead] = 0.2 * size * direction
        for name, parameter in sae.named_parameters():
            if name == "b_dec":
                continue  # the only one that is not a latent's, though it may be as long
            if parameter.dim() == 1:
                parameter[dead] = 0.0
            for moment in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[parameter][moment][dead] = 0.0
        self.quiet[dead] = 0

    def finish(self) -> SAE:
        """The trained autoencoder, on raw activations, on the CPU."""
        return self.sae.cpu().folded(self.scale)


def _rate(done: float, decay: float) -> float:
    """Share of the step size: up over the first tenth, level, down to 0 over the last `decay`."""
    up = min(1.0, 0.1 + 0.9 * done / _LR_WARMUP)
    return up if decay == 0 else min(up, max((1 - done) / decay, 0.0))


@contextmanager
def one_thread() -> Iterator[None]:
    """Matrices this small lose more to two threads' waiting for each other than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def train_sae(activations: Tensor, config: SAEConfig) -> SAE:
    """Train on raw activations [n, d] held in memory, drawn in random order over all episodes.

    Raises:
        ConfigError: not a matrix, fewer than two rows, NaN or infinite values, or all equal.
    """
    check_activations(activations)
    scale = float(activations.square().sum(1).mean().sqrt())
    trainer = Trainer(config, activations, scale)
    for rows in _shuffled(len(activations), config):
        trainer.step(activations[rows])
    return trainer.finish()


def train_saes(
    batches: Iterable[Tensor],
    first: Tensor,
    scale: float,
    configs: Sequence[SAEConfig],
    *,
    progress: bool = False,
) -> list[SAE]:
    """Several autoencoders in one pass over batches; each stops after its own `steps`.

    Args:
        batches: raw activations [B, d] in random order, e.g. of an activation store.
        first: raw activations [n, d] by which biases begin.
        scale: root mean square length of the activations.
        configs: one an autoencoder.
        progress: show a bar where the terminal allows.

    Raises:
        ConfigError: too few batches, or values that are not finite.
    """
    check_activations(first)
    trainers = [Trainer(config, first, scale) for config in configs]
    longest = max(config.steps for config in configs)
    done = 0
    bar = tqdm(
        total=longest, desc="training", unit="step", leave=False, disable=None if progress else True
    )
    with one_thread(), bar:
        for batch in batches:
            if done == longest:
                break
            if not batch.isfinite().all():
                raise ConfigError(f"sae: batch {done} has NaN or infinite activations")
            for trainer in trainers:
                if done < trainer.config.steps:
                    trainer.step(batch)
            done += 1
            bar.update()
    if done < longest:
        raise ConfigError(f"sae: {done} batches for {longest} steps; give more recordings")
    return [trainer.finish() for trainer in trainers]


def _shuffled(n: int, config: SAEConfig) -> Iterator[Tensor]:
    """Row numbers int64 [batch], `steps` times, each row once before any comes again."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(config.steps):
        while len(order) < config.batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        yield order[: config.batch]
        order = order[config.batch :]


def check_activations(activations: Tensor) -> None:
    """Refuse what no autoencoder can be trained on.

    Raises:
        ConfigError: not a matrix, fewer than two rows, NaN or infinite values, or all equal.
    """
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
