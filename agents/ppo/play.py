"""Playing for PPO: worlds side by side, whose latents, actions and rewards are kept for learning."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.preferences.likelihood import Actions, log_probs, of_latents
from agents.reward.model import Rewards
from basalt.core.actions import INVENTORY_INDEX, NULL_CAMERA, indices_to_env
from basalt.data.baselines import camera_counts
from basalt.policies.preprocess import resize_frames
from basalt.policies.vpt import VPTPolicy
from basalt.worlds import make_env
from basalt.worlds.vector import WorldVectorEnv

Scores = Callable[[Tensor], Rewards]
"""Rewards of the steps of one episode by its latents, float [n, width]."""


class Worlds(Protocol):
    """N worlds side by side; see `basalt.worlds.vector.WorldVectorEnv`."""

    num_envs: int

    def reset(self, *, seed: Any = None) -> tuple[Any, dict[str, Any]]: ...  # noqa: D102
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def open_worlds(
    task: str, world: str, count: int, seeds: Sequence[int], max_steps: int, args: dict[str, Any]
) -> Worlds:
    """Open worlds in processes of their own; each plays its share of the seeds."""
    made = [
        partial(make_env, task, world, step_limit=max_steps, seeds=list(seeds[n::count]), **args)
        for n in range(count)
    ]
    return WorldVectorEnv(made)


class Played(NamedTuple):
    """T steps of N worlds.

    Attributes:
        latents: Latents before each step and after the last one, float32 [T + 1, N, width].
        buttons: VPT index of the buttons, int64 [T, N].
        camera: VPT index of the camera, int64 [T, N].
        log_probs: Log-probability of the actions when they were played, float32 [T, N].
        played: Whether the step was played, bool [T, N]; a world that begins an episode does not play.
        terminated: Whether the episode terminated at that step, bool [T, N].
        ended: Whether it ended at that step, terminated or cut, bool [T, N].
        histories: Latents of each world's episode before the first step, float32 [n, width] each.
    """

    latents: Tensor
    buttons: Tensor
    camera: Tensor
    log_probs: Tensor
    played: Tensor
    terminated: Tensor
    ended: Tensor
    histories: tuple[Tensor, ...]

    @property
    def actions(self) -> Actions:
        """The actions, as one clip a world: [N, T]."""
        counts = torch.from_numpy(camera_counts(self.buttons.numpy()))
        return Actions(self.buttons.T, self.camera.T, counts.T, self.played.T)

    def rewards(self, scores: Callable[[Tensor], Tensor]) -> Tensor:
        """Reward of each step: that of the state that it led to, float32 [T, N]; 0 where nothing was played.

        Args:
            scores: Rewards of the steps of one episode by its latents, float [n, width] to float [n].
        """
        steps, count = self.played.shape
        found = torch.zeros(steps, count)
        for n in range(count):
            begin, before = 0, self.histories[n]
            for t in range(steps):
                last = bool(self.ended[t, n]) or t == steps - 1
                if not self.played[t, n]:
                    begin, before = t + 1, before[:0]
                elif last:
                    episode = torch.cat([before, self.latents[begin : t + 2, n]])
                    found[begin : t + 1, n] = scores(episode)[-(t + 1 - begin) :].cpu()
                    begin, before = t + 1, before[:0]
        return found


class Player:
    """Plays worlds with a policy whose trunk is frozen.

    Args:
        worlds: The worlds.
        policy: The policy; its heads may change between two calls.
        kept: Number of latents of an episode that are kept for the rewards of its next steps.
        seed: Seed of the actions and of the first episodes.
    """

    def __init__(self, worlds: Worlds, policy: VPTPolicy, kept: int, seed: int) -> None:
        self._worlds, self._policy, self._kept = worlds, policy, kept
        self._draws = torch.Generator().manual_seed(seed)
        count = worlds.num_envs
        observations, _ = worlds.reset(seed=seed)
        self._frames: NDArray[np.uint8] = observations["pov"]
        self._state = policy.initial_state(count)
        self._first = torch.ones(count, dtype=torch.bool)
        self._seen = [torch.zeros(0, policy.config.hidsize) for _ in range(count)]
        self._latent = self._look()

    @torch.no_grad()
    def play(self, steps: int) -> Played:
        """Play some steps in every world, continuing its episode."""
        columns: dict[str, list[Tensor]] = {
            name: [] for name in ("buttons", "camera", "log_probs", "played", "terminated", "ended")
        }
        histories = tuple(self._seen)
        latents = [self._latent]
        for _ in range(steps):
            output = of_latents(self._policy, self._latent[:, None].to(self._policy.device))
            buttons, camera = self._draw(output.buttons_logits), self._draw(output.camera_logits)
            camera[buttons == INVENTORY_INDEX] = NULL_CAMERA
            done = Actions(
                buttons[:, None],
                camera[:, None],
                torch.from_numpy(camera_counts(buttons.numpy()))[:, None],
                torch.ones(len(buttons), 1, dtype=torch.bool),
            ).to(self._policy.device)
            env = indices_to_env(buttons.numpy(), camera.numpy(), np.zeros(len(buttons), bool))
            pressed = {name: env.column(name) for name in env.step(0) if name != "camera"}
            observations, _, terminated, truncated, infos = self._worlds.step(
                {**pressed, "camera": env.camera.astype(np.float32)}
            )
            played = torch.from_numpy(np.asarray(infos["played"], dtype=bool))
            ended = torch.from_numpy(np.asarray(terminated | truncated)) & played
            before, self._first = self._latent, ~played
            self._frames = observations["pov"]
            self._latent = self._look()
            for n in range(len(buttons)):
                seen = torch.cat([self._seen[n], before[n : n + 1]])[-self._kept :]
                self._seen[n] = seen if played[n] and not ended[n] else seen[:0]
            values = {
                "buttons": buttons, "camera": camera, "log_probs": log_probs(output, done)[:, 0].cpu(), "played": played,
                "terminated": torch.from_numpy(np.asarray(terminated)) & played, "ended": ended,
            }  # fmt: skip
            for name, value in values.items():
                columns[name].append(value)
            latents.append(self._latent)
        stacked = {name: torch.stack(value) for name, value in columns.items()}
        return Played(latents=torch.stack(latents), histories=histories, **stacked)

    @torch.no_grad()
    def _look(self) -> Tensor:
        """Latents of the frames in view, float32 [N, width] on the CPU."""
        policy = self._policy
        frames = torch.from_numpy(resize_frames(self._frames, policy.config.frame_size))
        latent, self._state = policy.latents(
            frames[:, None].to(policy.device), self._first[:, None].to(policy.device), self._state
        )
        return latent[:, 0].float().cpu()

    def _draw(self, logits: Tensor) -> Tensor:
        """int64 [N] from float32 [N, 1, n]."""
        return torch.multinomial(logits[:, 0].cpu().softmax(-1), 1, generator=self._draws)[:, 0]
