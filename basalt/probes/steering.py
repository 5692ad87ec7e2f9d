"""What a latent causes: it is taken away, scaled or held at a value, and the rest of the policy runs on.

On recordings the change of the policy's choices is measured; in the world, that of its telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from basalt.core.intervals import episode_interval
from basalt.core.recording import Recording, find_recordings
from basalt.core.telemetry import Telemetry
from basalt.data.dataset import Episode, single_pass
from basalt.io.errors import ConfigError
from basalt.policies.imitation import gather
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import replaced, site_module, site_widths
from basalt.probes.sae import SAE, load_sae
from basalt.probes.suite.effects import LOG_ODDS, MEASURES, measures

MODES = ("clamp", "scale", "add")


@dataclass(frozen=True)
class Steering:
    """A latent set to something else; what the autoencoder does not explain stays as it is.

    Attributes:
        site: one of `policy.sites()`.
        sae: the site's, on the policy's device.
        latent: which.
        value: of the mode.
        mode: `clamp` = the latent is `value` at every frame (0 takes it away), `scale` = it is `value`
            times itself, `add` = `value` more.
        direction: float [width] to move along; None is the latent's own.
    """

    site: str
    sae: SAE
    latent: int
    value: float
    mode: str = "clamp"
    direction: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"steer: mode {self.mode!r} is unknown; known: {', '.join(MODES)}")
        if not 0 <= self.latent < self.sae.W_dec.shape[0]:
            raise ConfigError(
                f"steer: latent {self.latent} of an autoencoder with {self.sae.W_dec.shape[0]}"
            )
        if not np.isfinite(self.value):
            raise ConfigError(f"steer: value {self.value} is not a finite number")

    def __call__(self, x: Tensor) -> Tensor:
        """Activations [B, T, width] with the latent changed."""
        f = self.sae.encode(x)[..., [self.latent]]
        if self.mode == "clamp":
            change = self.value - f
        elif self.mode == "scale":
            change = (self.value - 1) * f
        else:
            change = torch.full_like(f, self.value)
        direction = self.sae.W_dec[self.latent] if self.direction is None else self.direction
        return x + change * direction

    def at_random(self, seed: int = 0) -> Steering:
        """The control: as far, as often, but along a random direction."""
        own = self.sae.W_dec[self.latent]
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(own.shape, generator=generator).to(own)
        direction = direction / direction.norm() * own.norm()
        return Steering(self.site, self.sae, self.latent, self.value, self.mode, direction)


def read_steering(
    asked: Sequence[Any], sae: str | Path | None, policy: VPTPolicy, along: str = "latent"
) -> Steering:
    """Steering as asked on the command line.

    Args:
        asked: [site, latent, value] or [site, latent, value, mode].
        sae: folder of an autoencoder, `SUITE/saes/SITE/NAME`.
        policy: whose site it is.
        along: `latent`, its own direction, or `random`, the control (`Steering.at_random`).

    Raises:
        ConfigError: not such a list, no such direction, or policy and autoencoder do not fit.
    """
    if not 3 <= len(asked) <= 4:
        raise ConfigError(f"steer: {list(asked)!r}; expected [site,latent,value] and maybe a mode")
    site, latent, value, mode = [*asked, "clamp"][:4]
    if isinstance(latent, bool) or not isinstance(latent, int):
        raise ConfigError(f"steer: latent {latent!r} is not a number of a latent")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"steer: value {value!r} is not a number")
    if along not in ("latent", "random"):
        raise ConfigError(f"along: {along!r} is unknown; known: latent, random")
    site_module(policy, str(site))
    if sae is None:
        raise ConfigError("steer: give the autoencoder too, sae=SUITE/saes/SITE/NAME")
    loaded, facts = load_sae(Path(sae))
    if facts.get("site") != site:
        raise ConfigError(f"steer: {sae} is of site {facts.get('site')!r}, not {site!r}")
    width = site_widths(policy)[str(site)]
    if loaded.W_dec.shape[1] != width:
        raise ConfigError(
            f"steer: {sae} is of activations of width {loaded.W_dec.shape[1]}, this policy's {site} has {width}"
        )
    steering = Steering(str(site), loaded.to(policy.device), latent, float(value), str(mode))
    return steering if along == "latent" else steering.at_random()


@torch.no_grad()
def change_of_choices(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    encoded: Sequence[Tensor],
    steering: Steering,
    *,
    rows: int = 8,
    length: int = 64,
) -> dict[str, Any]:
    """Mean change of every measure of `basalt.probes.suite.effects` over held-out recordings.

    Returns:
        `measures`: rows `name`, `change`, `interval` over episodes, `random_direction` (the control's
        change); largest first. `camera` [11][11] (pitch, yaw): changes of the bins' log-probabilities.
        `frames`.
    """
    controls = {"steered": steering, "random": steering.at_random()}
    rows = min(rows, len(episodes))
    states = {name: policy.initial_state(rows) for name in ("clean", *controls)}
    sums = {name: np.zeros((len(episodes), len(MEASURES))) for name in controls}
    frames = np.zeros(len(episodes))
    for batch in single_pass(episodes, rows, length):
        inputs, first = gather(encoded, batch), torch.from_numpy(batch.first).to(policy.device)
        where = batch.episode[batch.valid]
        np.add.at(frames, where, 1)
        clean = policy.forward_encoded(inputs, first, states["clean"])
        states["clean"], before = clean.state, measures(clean)
        for name, change in controls.items():
            with replaced(policy, change.site, change):
                output = policy.forward_encoded(inputs, first, states[name])
            states[name] = output.state
            moved = (measures(output) - before).double().cpu().numpy()[batch.valid]
            np.add.at(sums[name], where, moved)
    total = frames.sum()
    change = sums["steered"].sum(0) / total
    listed = [
        {
            "name": MEASURES[m],
            "change": float(change[m]),
            "interval": episode_interval(sums["steered"][:, m].tolist(), frames.tolist()),
            "random_direction": float(sums["random"][:, m].sum() / total),
        }
        for m in range(LOG_ODDS)
    ]
    return {
        "measures": sorted(listed, key=lambda row: -abs(float(str(row["change"])))),
        "camera": change[LOG_ODDS:].reshape(11, 11).tolist(),
        "frames": int(total),
    }


Reading = Callable[[Sequence[Telemetry], str], float]

READINGS: dict[str, Reading] = {
    "steps": lambda states, _: len(states) - 1.0,
    "ended_by_esc": lambda _, ended: float(ended == "esc"),
    "distance_walked": lambda states, _: states[-1].distance_walked,
    "mean_pitch": lambda states, _: float(np.mean([s.pitch for s in states])),
    "share_looking_down": lambda states, _: float(np.mean([s.pitch > 30 for s in states])),
    "share_under_roof": lambda states, _: float(np.mean([s.under_roof for s in states])),
    "share_in_liquid": lambda states, _: float(np.mean([s.in_liquid for s in states])),
    "turned": lambda states, _: float(
        np.abs((np.diff([s.yaw for s in states]) + 180) % 360 - 180).mean()
    ),
    "share_in_cave": lambda states, _: float(
        np.mean([bool(s.facts.get("in_cave")) for s in states])
    ),
}
"""What is compared between rollouts: one number an episode, degrees, nodes, steps or shares."""


def compare_rollouts(plain: Path, steered: Path) -> dict[str, Any]:
    """The steered policy against the unsteered one, seed by seed.

    Args:
        plain, steered: folders of rollouts of the same task, world and policy.

    Returns:
        `seeds`, and by reading: `plain`, `steered` (means), `difference` with its bootstrap `interval`
        over seeds (None below three).

    Raises:
        ConfigError: no seed in common.
    """
    found = [_readings(folder) for folder in (plain, steered)]
    seeds = sorted(found[0].keys() & found[1].keys())
    if not seeds:
        raise ConfigError(f"steer: {plain} and {steered} have no seed in common")
    report: dict[str, Any] = {"seeds": seeds, "readings": {}}
    for name in READINGS:
        a, b = ([run[seed][name] for seed in seeds] for run in found)
        change = [after - before for before, after in zip(a, b, strict=True)]
        report["readings"][name] = {
            "plain": float(np.mean(a)),
            "steered": float(np.mean(b)),
            "difference": float(np.mean(change)),
            "interval": episode_interval(change, [1.0] * len(change)),
        }
    return report


def _readings(folder: Path) -> dict[int, dict[str, float]]:
    found = {}
    for recording in find_recordings(folder):
        meta = Recording.open(recording.stem).meta
        if meta is not None:
            states = recording.telemetry()
            found[meta.seed] = {name: read(states, meta.ended) for name, read in READINGS.items()}
    return found
