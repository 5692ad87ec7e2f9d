"""A world whose reward is a reward model's, for reinforcement learning with any library."""

from collections import deque
from pathlib import Path
from typing import Any

import gymnasium
import torch
from torch import Tensor

from agents.reward.saved import open_reward
from basalt.core.tasks import refuse_test_seeds
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device
from basalt.policies.preprocess import resize_frame
from basalt.policies.source import fingerprint, open_policy
from basalt.worlds.base import WorldEnv


class LearnedReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The reward of a step is what a reward model says of the state that it led to, after the support gate.

    It looks at the frames of the world, so it comes first, before wrappers that change observations.

    Args:
        env: The world, with observations as it gives them.
        reward: Run of `basalt train agent=reward`, finished.
        pessimism: Number of standard deviations over the ensemble that are taken off each reward.
        device: `auto`, `cpu`, `cuda`...

    Raises:
        ConfigError: The run cannot be used, or is about another task or another version of the world; or `env` is not one of
            this project's worlds.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        reward: str | Path,
        *,
        pessimism: float = 0.0,
        device: str = "auto",
    ) -> None:
        super().__init__(env)
        world = env.unwrapped
        if not isinstance(world, WorldEnv) or "pov" not in env.observation_space.sample():
            raise ConfigError(
                f"env: expected a world as basalt.worlds makes it, before its observations are changed, got {env}"
            )
        self._task = world.task
        self._pessimism = pessimism
        self._model, info = open_reward(reward, choose_device(device))
        if info.task != self._task.name:
            raise ConfigError(
                f"reward: expected a model of {self._task.name}, got one of {info.task}"
            )
        version = env.get_wrapper_attr("version")
        if info.world_version != version:
            raise ConfigError(
                f"reward: expected a model of the world's version {version}, got one of {info.world_version}"
            )
        self._policy = open_policy(info.trunk, choose_device(device), "reward")
        if fingerprint(self._policy) != info.trunk_fingerprint:
            raise ConfigError(
                f"reward: expected its trunk in {info.trunk}, got another policy there; restore it, or train the reward again"
            )
        self._state = self._policy.initial_state(1)
        self._seen: deque[Tensor] = deque(maxlen=self._model.sizes.memory + 1)

    def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; see `WorldEnv.reset`.

        Raises:
            ConfigError: The seed is one that nothing may learn from.
        """
        observation, info = self.env.reset(**arguments)
        refuse_test_seeds(self._task, [info["seed"]], "learning from a reward model")
        self._seen.clear()
        self._look(observation["pov"], first=True)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play a step; see `WorldEnv.step`."""
        observation, _, terminated, truncated, info = self.env.step(action)
        self._look(observation["pov"], first=False)
        rewards = self._model.rewards(torch.stack([*self._seen]))
        reward = float(self._model.gated(rewards, self._pessimism)[-1])
        return observation, reward, terminated, truncated, info

    @torch.no_grad()
    def _look(self, frame: Any, *, first: bool) -> None:
        """Keep the latent of a frame, float [width]."""
        policy = self._policy
        resized = torch.from_numpy(resize_frame(frame, policy.config.frame_size))
        latents, self._state = policy.latents(
            resized[None, None].to(policy.device),
            torch.tensor([[first]], device=policy.device),
            self._state,
        )
        self._seen.append(latents[0, 0].float())
