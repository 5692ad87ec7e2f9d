"""Plays a checkpoint of behavioural cloning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.actions import INVENTORY_INDEX, NULL_CAMERA, indices_to_env
from basalt.core.recording import PlayerKind
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import choose_device, load_policy
from basalt.policies.preprocess import resize_frames
from basalt.probes.hooks.points import patch
from basalt.probes.steering import read_steering


class BCAgent:
    """Plays a checkpoint, many episodes side by side.

    Buttons and camera are drawn from the policy (or its likeliest choice is taken). ESC is pressed
    with the probability that the policy gives it, which imitates when players stop: a fixed
    threshold on a thing done once an episode would almost never be crossed.

    Args:
        checkpoint: a run's folder or one of its checkpoints.
        device: `auto`, `cpu`, `cuda`...
        deterministic: take the likeliest buttons and camera, and press ESC once the policy thinks it
            likelier than not that a player would have stopped by now.
        seed: of the draws.
        steer: [site, latent, value], maybe with a mode, see `basalt.probes.steering`.
        sae: folder of the autoencoder that `steer` speaks of.
        along: `latent`, or `random` for the control.
    """

    name = "bc"
    kind: PlayerKind = "agent"

    def __init__(
        self,
        checkpoint: str | Path | None,
        device: str = "auto",
        deterministic: bool = False,
        seed: int = 0,
        steer: Sequence[Any] | None = None,
        sae: str | Path | None = None,
        along: str = "latent",
    ) -> None:
        if checkpoint is None:
            raise ConfigError("agent bc: give the run to play, checkpoint=FOLDER")
        self._policy, self.info = load_policy(checkpoint, choose_device(device))
        if steer is not None:
            steering = read_steering(steer, sae, self._policy, along)
            # For as long as the agent plays.
            self._steered = ExitStack()
            self._steered.enter_context(patch(self._policy, steering.hook_point, steering))
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._state: PolicyState | None = None
        self._going_on = torch.zeros(0)

    @torch.no_grad()
    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`.

        Raises:
            ConfigError: another number of episodes than before, in the middle of some.
        """
        rows = len(pov)
        if self._state is None or self._state.mask.shape[0] != rows:
            if not np.all(first):
                raise ConfigError(
                    f"act: {rows} episodes, but not all begin now and this agent remembers "
                    f"{0 if self._state is None else self._state.mask.shape[0]}"
                )
            self._state = self._policy.initial_state(rows)
            self._going_on = torch.ones(rows)
        device = self._policy.device
        img = torch.from_numpy(resize_frames(pov, self._policy.config.frame_size))
        begins = torch.from_numpy(np.asarray(first, dtype=bool))
        out = self._policy(img[:, None].to(device), begins[:, None].to(device), self._state)
        self._state = out.state
        buttons = self._choose(out.buttons_logits[:, 0])
        camera = self._choose(out.camera_logits[:, 0])
        # The camera head is never taught beside the inventory key, where players do not turn.
        camera[buttons == INVENTORY_INDEX] = NULL_CAMERA
        esc = self._press_esc(out.esc_logit[:, 0].sigmoid().cpu(), begins)
        actions = indices_to_env(buttons.numpy(), camera.numpy(), esc.numpy())
        return [actions.step(row) for row in range(rows)]

    def _choose(self, logits: Tensor) -> Tensor:
        """int64 [B] from float32 [B, n]."""
        logits = logits.cpu()
        if self._deterministic:
            return logits.argmax(-1)
        return torch.multinomial(logits.softmax(-1), 1, generator=self._generator)[:, 0]

    def _press_esc(self, probability: Tensor, first: Tensor) -> Tensor:
        """bool [B]."""
        if not self._deterministic:
            return torch.rand(len(probability), generator=self._generator) < probability
        self._going_on = torch.where(first, 1.0, self._going_on) * (1 - probability)
        return self._going_on < 0.5
