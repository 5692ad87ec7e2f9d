"""When to press ESC: a head that says whether the task is done, a filter over time, and a rule.

ESC is an optimal stopping problem: one wrong press ends the episode. A head says for each frame how likely it is that
ESC now would be a success; an exponential average over time smooths it, and ESC is pressed once the average reaches a
threshold that was chosen for the success of whole episodes. Drawing ESC from a hazard instead imitates when players
stop, which does not ask whether the task is done.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from basalt.core.records import Record
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import find_checkpoint, load_network
from basalt.policies.config import VPTConfig
from basalt.policies.impala import ImageEncoder
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import VPTPolicy

TRUNK_WIDTH = 64
"""Width of the hidden layer between a trunk's latents and the head."""


class StopRule(BaseModel):
    """When ESC is pressed, given the head's output at each step.

    Attributes:
        weight: Weight of the newest log-odds in the exponential average; 1 means no filtering.
        threshold: Average log-odds at which ESC is pressed.
        min_step: Earliest step at which ESC may be pressed, from 0.
        max_step: Step from which even odds are enough; None for never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: Annotated[float, Field(gt=0, le=1)] = 0.05
    threshold: float = 0.0
    min_step: Annotated[int, Field(ge=0)] = 0
    max_step: Annotated[int, Field(ge=0)] | None = None


class StopFilter:
    """The rule applied to one episode, step by step.

    Args:
        rule: The rule.

    Attributes:
        average: Exponential average of the log-odds that the task is done; it starts at even odds.
        step: Number of steps so far.
    """

    def __init__(self, rule: StopRule) -> None:
        self._rule = rule
        self.average = 0.0
        self.step = 0

    def stops(self, done: float, screen_open: bool) -> bool:
        """Whether to press ESC at this step.

        A step with a screen open is no evidence, since the world is hidden, and never ends the episode.

        Args:
            done: Log-odds that the task is done.
            screen_open: Whether a screen such as the inventory is open.
        """
        rule, now = self._rule, self.step
        self.step += 1
        if screen_open:
            return False
        self.average += rule.weight * (done - self.average)
        if now < rule.min_step:
            return False
        late = rule.max_step is not None and now >= rule.max_step
        return self.average >= (min(rule.threshold, 0.0) if late else rule.threshold)


class EndingOutput(NamedTuple):
    """Output of the head, float32 [n] each.

    Attributes:
        done: Log-odds that pressing ESC now would succeed, if successes and failures were equally frequent.
        screen: Log-odds that a screen is open.
    """

    done: Tensor
    screen: Tensor


class EndingNet(nn.Module):
    """The head, on a small image encoder of its own that sees one frame at a time, or on the latents of a policy.

    Args:
        config: Sizes of the encoder (`impala_chans`, `impala_width`, `img_shape`, `hidsize`; the rest is not used), or
            those of the trunk.
        trunk: Policy whose latents the head reads, frozen and not saved with it; None for an encoder of its own.

    Attributes:
        trunk: The policy, or None.
    """

    def __init__(self, config: VPTConfig, trunk: VPTPolicy | None = None) -> None:
        super().__init__()
        self.config = config
        # In a tuple, so that its weights are neither trained nor saved.
        self._trunk = (None if trunk is None else trunk.eval().requires_grad_(False),)
        width = config.hidsize if trunk is None else TRUNK_WIDTH
        self.encoder: nn.Module = (
            ImageEncoder(config)
            if trunk is None
            else nn.Sequential(nn.Linear(config.hidsize, width), nn.ReLU())
        )
        self.head = nn.Linear(width, len(EndingOutput._fields))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def trunk(self) -> VPTPolicy | None:  # noqa: D102 (see the class)
        return self._trunk[0]

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.head.weight.device

    def forward(self, inputs: Tensor) -> EndingOutput:
        """Run on frames, uint8 [n, height, width, 3] RGB, or on the trunk's latents, float [n, hidsize]."""
        if self.trunk is None:
            x = self.encoder(inputs.permute(0, 3, 1, 2).float()[None] / 255)[0]
        else:
            x = self.encoder(inputs.float())
        return EndingOutput(*self.head(x).float().unbind(-1))

    @torch.no_grad()
    def log_odds(self, inputs: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """`done` float32 [n], and whether a screen is open bool [n], of inputs as `forward` takes them."""
        output = self(torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device))
        return output.done.cpu().numpy(), (output.screen > 0).cpu().numpy()


class EndingInputs:
    """What the head reads of frames as they come: the frames, or the trunk's latents with its memory.

    Args:
        net: The head.
    """

    def __init__(self, net: EndingNet) -> None:
        self._trunk = net.trunk
        self._state: PolicyState | None = None

    @torch.no_grad()
    def of(self, frames: NDArray[np.uint8], first: NDArray[np.bool_]) -> NDArray[Any]:
        """Inputs of the next T frames of each of B episodes.

        Args:
            frames: uint8 [B, T, height, width, 3] RGB at the size of the head.
            first: bool [B, T], True where an episode begins.

        Returns:
            [B, T, ...]: the frames, or latents float32 [B, T, hidsize].
        """
        if self._trunk is None:
            return frames
        if self._state is None or self._state.mask.shape[0] != len(frames):
            self._state = self._trunk.initial_state(len(frames))
        device = self._trunk.device
        latents, self._state = self._trunk.latents(
            torch.from_numpy(frames).to(device), torch.from_numpy(first).to(device), self._state
        )
        return np.asarray(latents.float().cpu().numpy())


class EndingCheckpoint(Record):
    """What a checkpoint of a stopping head is of (`checkpoint.json`).

    Attributes:
        step: Number of optimizer steps done.
        encoder: Sizes of the image encoder, or of the trunk.
        trunk: Where the trunk was (`basalt.policies.source.open_policy`); "" for an encoder of its own.
        trunk_fingerprint: SHA-256 of its weights.
        task: Name of the task whose success it has learned.
        rule: The rule, chosen at the end of the training; None before.
        train_places, held_out_places: Groups (`Episode.split_group`) that it was trained on, and that the rule was
            chosen on.
    """

    FORMAT: ClassVar[str] = "basalt-ending"

    step: int
    encoder: VPTConfig
    trunk: str = ""
    trunk_fingerprint: str = ""
    task: str
    rule: StopRule | None = None
    train_places: tuple[str, ...] = ()
    held_out_places: tuple[str, ...] = ()


def load_ending(
    path: str | Path, device: torch.device, setting: str = "agent.stop"
) -> tuple[EndingNet, EndingCheckpoint]:
    """The network of a checkpoint or run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or not one of a stopping head.
    """
    folder = find_checkpoint(path, setting, "basalt train agent=ending")
    try:
        info = EndingCheckpoint.read(folder / "checkpoint.json")
    except ConfigError as err:
        raise ConfigError(f"{setting}: {err}; give a run of `basalt train agent=ending`") from err
    trunk = open_policy(info.trunk, device, setting) if info.trunk else None
    if trunk is not None and fingerprint(trunk) != info.trunk_fingerprint:
        raise ConfigError(
            f"{setting}: {info.trunk} is no longer the policy whose latents the head in {folder} reads; restore it, or "
            "train the head again"
        )
    net = load_network(folder, lambda: EndingNet(info.encoder, trunk))
    return net.to(device).eval(), info


def open_ending(
    path: str | Path, device: torch.device, setting: str = "agent.stop"
) -> tuple[EndingNet, StopRule]:
    """The network and the rule of a finished run.

    Raises:
        ConfigError: The run is not finished, or is not one of a stopping head.
    """
    net, info = load_ending(path, device, setting)
    if info.rule is None:
        raise ConfigError(
            f"{setting}: expected a finished run, since the threshold is chosen at its end, got {path} at step "
            f"{info.step}; run its `basalt train agent=ending` again to finish it"
        )
    return net, info.rule
