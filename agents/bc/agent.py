"""Plays a checkpoint of behavioural cloning."""

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


class BCAgent:
    """Plays a checkpoint, a batch of episodes at a time.

    Buttons and camera are sampled from the policy, or its most likely choice is taken. ESC is pressed
    with the probability that the policy gives it, which imitates when players stop: a fixed
    threshold on an event that happens once per episode would almost never be crossed.

    Args:
        checkpoint: Folder of the run to play, or one of its checkpoints.
        device: `auto`, `cpu`, `cuda`...
        deterministic: Whether to take the most likely buttons and camera, and to press ESC once the
            policy gives more than even odds that a player would have stopped by now.
        seed: Seed of the draws.

    Attributes:
        policy: The policy being played.
        info: Metadata of the checkpoint.
    """

    name = "bc"
    kind: PlayerKind = "agent"

    def __init__(
        self,
        checkpoint: str | Path | None,
        device: str = "auto",
        deterministic: bool = False,
        seed: int = 0,
    ) -> None:
        if checkpoint is None:
            raise ConfigError("checkpoint: expected the run to play; give checkpoint=FOLDER")
        self.policy, self.info = load_policy(checkpoint, choose_device(device))
        self._deterministic = deterministic
        self._generator = torch.Generator().manual_seed(seed)
        self._state: PolicyState | None = None
        self._not_stopped = torch.zeros(0)

    @torch.no_grad()
    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`.

        Raises:
            ConfigError: The number of episodes changed while some were running.
        """
        rows = len(pov)
        if self._state is None or self._state.mask.shape[0] != rows:
            if not np.all(first):
                raise ConfigError(
                    f"act: expected all {rows} episodes to begin, since the agent has the memory of "
                    f"{0 if self._state is None else self._state.mask.shape[0]}; set first for each"
                )
            self._state = self.policy.initial_state(rows)
            self._not_stopped = torch.ones(rows)
        device = self.policy.device
        img = torch.from_numpy(resize_frames(pov, self.policy.config.frame_size))
        begins = torch.from_numpy(np.asarray(first, dtype=bool))
        out = self.policy(img[:, None].to(device), begins[:, None].to(device), self._state)
        self._state = out.state
        buttons = self._choose(out.buttons_logits[:, 0])
        camera = self._choose(out.camera_logits[:, 0])
        # The camera head is not trained on frames with the inventory key, where players do not turn.
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
        """Which episodes to end now, bool [B], given the probability of ESC [B] and where an episode begins [B]."""
        if not self._deterministic:
            return torch.rand(len(probability), generator=self._generator) < probability
        self._not_stopped = torch.where(first, 1.0, self._not_stopped) * (1 - probability)
        return self._not_stopped < 0.5
