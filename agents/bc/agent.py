"""Plays a checkpoint of behavioural cloning."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from basalt.core.actions import INVENTORY_INDEX, NULL_CAMERA, indices_to_env
from basalt.core.recording import PlayerKind
from basalt.core.settings import Float, Positive
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import Checkpoint, choose_device, load_policy
from basalt.policies.preprocess import resize_frames
from basalt.policies.vpt import VPTPolicy


def nucleus(probabilities: Tensor, share: float) -> Tensor:
    """Leave the fewest likeliest choices that have at least `share` of the probability together.

    Args:
        probabilities: float32 [B, n]; each row adds up to 1.
        share: In (0, 1]; with 1 nothing changes.

    Returns:
        float32 [B, n], 0 for all other choices. The rows no longer add up to 1.
    """
    if share == 1:
        return probabilities
    ranked, order = probabilities.sort(descending=True, stable=True)
    # A choice stays while those before it have not reached the share, so the likeliest always does.
    ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= share, 0)
    return torch.zeros_like(probabilities).scatter(-1, order, ranked)


class BCAgent:
    """Plays a checkpoint, a batch of episodes at a time.

    Buttons and camera are sampled from the policy, or its most likely choice is taken. It does not press ESC: a
    stopping head (`agent.stop=RUN`) ends its episodes, otherwise the step limit does. As an ablation, `esc=hazard`
    presses it with the probability that the policy gives, which imitates when players stop and does not ask whether
    the task is done.

    Args:
        checkpoint: Folder of the run to play, or one of its checkpoints.
        device: `auto`, `cpu`, `cuda`...
        deterministic: Whether to take the most likely buttons and camera; with `esc=hazard`, ESC is then pressed
            once the policy gives more than even odds that a player would have stopped by now.
        seed: Seed of the draws.
        temperature: Divisor of the logits that buttons and camera are sampled from.
        top_p: Share of the probability that is sampled from: the fewest likeliest choices that have it together (nucleus sampling,
            Holtzman et al. 2019, arXiv 1904.09751). At 1 every choice can be drawn; below, the rarest never are.
        esc: `never`, or `hazard` for the ablation.

    Attributes:
        policy: The policy being played.
        info: Metadata of the checkpoint.
    """

    name = "bc"
    kind: PlayerKind = "agent"
    FORMER_DEFAULTS: ClassVar[dict[str, str]] = {"esc": "hazard"}
    """Defaults of recordings that were made before there was the setting."""

    def __init__(
        self,
        checkpoint: str | Path | None,
        device: str = "auto",
        deterministic: bool = False,
        seed: int = 0,
        temperature: Positive = 1.0,
        top_p: Annotated[Float, Field(gt=0, le=1)] = 1.0,
        esc: Literal["never", "hazard"] = "never",
    ) -> None:
        if checkpoint is None:
            raise ConfigError("checkpoint: expected the run to play; give checkpoint=FOLDER")
        self.policy, self.info = self._open(checkpoint, choose_device(device))
        self._deterministic = deterministic
        self._temperature = temperature
        self._top_p = top_p
        self.esc = esc
        self._generator = torch.Generator().manual_seed(seed)
        self._state: PolicyState | None = None
        self._not_stopped = torch.zeros(0)

    @staticmethod
    def _open(checkpoint: str | Path, device: torch.device) -> tuple[VPTPolicy, Checkpoint]:
        """The policy of a checkpoint and its facts; agents with other checkpoints override it."""
        return load_policy(checkpoint, device)

    @property
    def decides_esc(self) -> bool:
        """Whether it presses ESC itself."""
        return self.esc == "hazard"

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
        probabilities = nucleus((logits / self._temperature).softmax(-1), self._top_p)
        return torch.multinomial(probabilities, 1, generator=self._generator)[:, 0]

    def _press_esc(self, probability: Tensor, first: Tensor) -> Tensor:
        """Which episodes to end now, bool [B], given the probability of ESC [B] and where an episode begins [B]."""
        if self.esc == "never":
            return torch.zeros(len(probability), dtype=torch.bool)
        if not self._deterministic:
            return torch.rand(len(probability), generator=self._generator) < probability
        self._not_stopped = torch.where(first, 1.0, self._not_stopped) * (1 - probability)
        return self._not_stopped < 0.5
