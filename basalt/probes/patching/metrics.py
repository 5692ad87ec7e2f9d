"""What a patch changes: one number of the policy's choice at the last frame of a window."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from basalt.core.actions import N_CAMERA, N_CAMERA_BINS, VPT_BUTTONS, VPTActions, bins_to_camera
from basalt.core.registry import did_you_mean
from basalt.data.baselines import camera_counts
from basalt.io.errors import ConfigError
from basalt.policies.vpt import PolicyOutput
from basalt.probes.suite.effects import button_log_odds

Metric = Callable[[PolicyOutput, Tensor], Tensor]
"""From the output at the last frame (all fields [B, 1, ...]) and the pair of each row, int64 [B]: float [B]."""

CAMERA = {"camera.pitch": 0, "camera.yaw": 1}

METRICS = (*VPT_BUTTONS, "ESC", *CAMERA, "action")
"""Log-odds of a button or of ESC; expected camera movement in degrees (positive: down, right), whether or not the buttons
let it count; log-probability of what the player did (buttons, camera where it counts, and ESC)."""


def find_metric(name: str, actions: VPTActions | None = None) -> Metric:
    """A metric by name.

    Args:
        name: One of `METRICS`.
        actions: What the player did at the last frame of each pair, for `action`.

    Raises:
        ConfigError: There is no such metric.
    """
    if name in VPT_BUTTONS:
        return lambda output, _: button_log_odds(output.buttons_logits, name)[:, 0]
    if name == "ESC":
        return lambda output, _: output.esc_logit[:, 0]
    if name in CAMERA:
        bins = np.stack(np.divmod(np.arange(N_CAMERA), N_CAMERA_BINS), -1)
        degrees = torch.from_numpy(bins_to_camera(bins)[:, CAMERA[name]]).float()
        return lambda output, _: (
            output.camera_logits[:, 0].softmax(-1) @ degrees.to(output.camera_logits.device)
        )
    if name == "action" and actions is not None:
        return _log_probability(actions)
    raise ConfigError(
        f"metric: unknown metric {name!r}; {did_you_mean(name, METRICS)}available: {', '.join(METRICS)}"
    )


def _log_probability(actions: VPTActions) -> Metric:
    labels = [torch.from_numpy(x) for x in (*actions, camera_counts(actions.buttons))]

    def metric(output: PolicyOutput, pair: Tensor) -> Tensor:
        buttons, camera, esc, counts = (x.to(pair.device)[pair] for x in labels)
        lost = F.cross_entropy(output.buttons_logits[:, 0], buttons, reduction="none")
        lost = lost + counts * F.cross_entropy(output.camera_logits[:, 0], camera, reduction="none")
        pressed = F.binary_cross_entropy_with_logits(
            output.esc_logit[:, 0], esc.float(), reduction="none"
        )
        return -lost - pressed

    return metric
