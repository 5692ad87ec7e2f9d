"""Hook points: the modules of a policy whose output can be read (`record`) or replaced (`patch`)."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor, nn

from basalt.core.registry import did_you_mean
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device, load_policy
from basalt.policies.vpt import VPTPolicy
from basalt.probes.records import ProbeRecord
from basalt.probes.settings import HookPointsConfig

Patch = Callable[[Tensor], Tensor]
"""Takes an activation [B, T, width] and returns what replaces it, in the same shape."""


def hook_point(policy: VPTPolicy, name: str) -> nn.Module:
    """The module whose output is the activation.

    Raises:
        ConfigError: unknown hook point; the message lists them.
    """
    points = policy.hook_points()
    if name not in points:
        raise ConfigError(
            f"site: unknown hook point {name!r}; {did_you_mean(name, points)}"
            f"available: {', '.join(points)}"
        )
    return points[name]


@contextmanager
def patch(policy: VPTPolicy, name: str, replacement: Patch) -> Iterator[None]:
    """Within the context, the activation x [B, T, width] becomes `replacement(x)`.

    Raises:
        ConfigError: unknown hook point.
    """

    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return replacement(output)

    handle = hook_point(policy, name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def record(policy: VPTPolicy, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Within the context, each call of the policy puts its activations [B, T, width] into the dict.

    Raises:
        ConfigError: unknown hook point.
    """
    seen: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    modules = {name: hook_point(policy, name) for name in names}
    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def hook_point_widths(policy: VPTPolicy) -> dict[str, int]:
    """Width of each activation, found by running one black frame."""
    names = policy.hook_points()
    with record(policy, names) as seen:
        img = torch.zeros(1, 1, *policy.config.img_shape, dtype=torch.uint8, device=policy.device)
        first = torch.ones(1, 1, dtype=torch.bool, device=policy.device)
        policy(img, first, policy.initial_state(1))
    return {name: seen[name].shape[-1] for name in names}


class HookPointTable(ProbeRecord):
    """The hook points of a policy.

    Attributes:
        widths: Width of the activation by hook point.
    """

    FORMAT: ClassVar[str] = "basalt-hook-points"

    widths: dict[str, int]

    def lines(self) -> list[str]:
        """A line per hook point."""
        rows = [f"{name:<22}{width:>6}" for name, width in self.widths.items()]
        return [f"{'hook point':<22}{'width':>6}   one row per frame, [B, T, width]", *rows]


def list_hook_points(cfg: HookPointsConfig) -> HookPointTable:
    """Run `basalt probe sites`.

    Raises:
        BasaltError: the checkpoint is missing or damaged.
    """
    policy, _ = load_policy(cfg.checkpoint, choose_device(cfg.device))
    return HookPointTable(widths=hook_point_widths(policy))
