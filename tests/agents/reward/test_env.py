"""A world with a learned reward: it is the model's, step by step, and only where it may be learned from."""

import numpy as np
import pytest
import torch

from agents.reward.env import LearnedReward
from agents.reward.saved import open_reward
from basalt.core.tasks import get_task
from basalt.io.errors import ConfigError
from basalt.policies.preprocess import resize_frames
from basalt.policies.source import open_policy
from basalt.worlds.wrappers import PictureOnly
from tests.support.tiny_reward import tiny_reward
from tests.support.toy_world import CountingWorld

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def toy(**settings) -> CountingWorld:
    return CountingWorld(size=(64, 36), **settings)


def played(env, seed=100_000, steps=8):
    """Frames and rewards of an episode."""
    observation, _ = env.reset(seed=seed)
    frames, rewards = [observation["pov"]], []
    for _ in range(steps):
        observation, reward, *_ = env.step({"forward": 1})
        frames.append(observation["pov"])
        rewards.append(reward)
    return np.stack(frames), rewards


@torch.no_grad()
def test_the_reward_of_a_step_is_the_model_s_of_the_state_it_led_to(tmp_path) -> None:
    run = tiny_reward(tmp_path)
    env = LearnedReward(toy(), run, pessimism=0.5, device="cpu")
    frames, rewards = played(env)
    policy, (model, _) = open_policy(tmp_path / "trunk", CPU), open_reward(run, CPU)
    pictures = torch.from_numpy(resize_frames(frames, policy.config.frame_size))[None]
    first = torch.zeros(1, len(frames), dtype=torch.bool)
    first[0, 0] = True
    latents, _ = policy.latents(pictures, first, policy.initial_state(1))
    expected = model.gated(model.rewards(latents[0]), 0.5)[1:]
    assert rewards == pytest.approx(expected.tolist(), abs=1e-4)
    assert len({round(one, 4) for one in rewards}) > 4
    assert played(env)[1] == pytest.approx(rewards, abs=1e-6), "an episode forgets the one before"


def test_a_transformer_looks_back_over_its_window(tmp_path) -> None:
    _, rewards = played(LearnedReward(toy(), tiny_reward(tmp_path, model="transformer")), steps=20)
    assert np.isfinite(rewards).all() and np.std(rewards) > 0


def test_what_it_must_not_reward_is_refused(tmp_path) -> None:
    run = tiny_reward(tmp_path)
    with pytest.raises(ConfigError, match=r"expected a model of make_waterfall, got one of find_"):
        LearnedReward(toy(task=get_task("make_waterfall")), run)
    other = tiny_reward(tmp_path / "other", version="luanti-1")
    with pytest.raises(ConfigError, match=r"world's version toy-1, got one of luanti-1"):
        LearnedReward(toy(), other)
    with pytest.raises(ConfigError, match="before its observations are changed"):
        LearnedReward(PictureOnly(toy()), run)
    env = LearnedReward(toy(), run)
    for seed in (230_000, get_task("find_cave").official_seeds[0]):
        with pytest.raises(ConfigError, match="learning from a reward model"):
            env.reset(seed=seed)
