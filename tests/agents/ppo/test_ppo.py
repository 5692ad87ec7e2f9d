"""PPO finds a planted hole in a reward model without the support gate and not with it, and keeps to what it says of itself."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.common.objective import kl_to_base
from agents.common.runs import read_metrics
from agents.ppo import train as ppo
from agents.ppo.agent import PPOAgent
from agents.ppo.config import PPOConfig
from agents.ppo.play import Player
from agents.preferences.likelihood import of_latents
from agents.reward.model import RewardModel, RewardSizes
from basalt.core.actions import EnvActions, env_to_indices, null_action
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.source import open_policy
from basalt.policies.vpt import VPTPolicy
from tests.support.tiny_policy import TINY

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")

CLIFF = 6
"""Positions up to here are good ground; the reward model has seen no other."""

EPISODE = 16

MOVES = env_to_indices(EnvActions.stack([null_action(), {"forward": 1}, {"back": 1}]))


def brighter(position: int) -> np.ndarray:
    """Frames get brighter all the way, so that those beyond the cliff look much like those before it."""
    return np.full((32, 32, 3), min(250, 20 + 12 * position), np.uint8)


def picture(position: int) -> np.ndarray:
    """As `brighter`, but beyond the cliff frames are less blue: unlike any before it, and the reward model likes them."""
    frame = brighter(position).copy()
    if position > CLIFF:
        frame[..., 2] = (frame[..., 2] * 0.97).astype(np.uint8)
    return frame


class Corridors:
    """Some corridors side by side: forward leads to brighter places, and beyond the cliff to where nothing is good.

    As in a vector of worlds, an episode that has ended is followed by a step that is not played.
    """

    def __init__(self, count: int) -> None:
        self.num_envs = count
        self.visited: list[int] = []

    def reset(self, *, seed: Any = None) -> tuple[Any, dict[str, Any]]:
        self._at, self._step = [0] * self.num_envs, [0] * self.num_envs
        return self._frames(), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        played = np.array([one < EPISODE for one in self._step])
        for n in range(self.num_envs):
            if not played[n]:
                self._at[n] = self._step[n] = 0
                continue
            self._at[n] = max(0, self._at[n] + int(actions["forward"][n]) - int(actions["back"][n]))
            self._step[n] += 1
            self.visited.append(self._at[n])
        cut = np.array([one == EPISODE for one in self._step]) & played
        none = np.zeros(self.num_envs, bool)
        return self._frames(), np.zeros(self.num_envs), none, cut, {"played": played}

    def close(self) -> None:
        pass

    def _frames(self) -> dict[str, np.ndarray]:
        return {"pov": np.stack([picture(one) for one in self._at])}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that goes forward, goes back or stands, each about as often."""
    folder = tmp_path_factory.mktemp("ppo") / "start"
    torch.manual_seed(0)
    policy = VPTPolicy(TINY)
    with torch.no_grad():
        for name, kept in (("buttons", MOVES.buttons), ("camera", MOVES.camera)):
            layer: Any = policy.pi_head[name]
            layer.linear_layer.bias.fill_(-12.0)
            layer.linear_layer.bias[torch.from_numpy(kept)] = 0.0
            layer.linear_layer.weight.mul_(0.1)
    save_checkpoint(folder, 1, policy, {}, {"task": "find_cave"})
    return folder


@torch.no_grad()
def latents_at(
    policy: VPTPolicy, positions: list[int], look: Callable[[int], np.ndarray] = picture
) -> torch.Tensor:
    """Latents of a walk along positions, float [n, width]."""
    frames = torch.from_numpy(np.stack([look(one) for one in positions]))[None]
    first = torch.zeros(1, len(positions), dtype=torch.bool)
    first[0, 0] = True
    return policy.latents(frames, first, policy.initial_state(1))[0][0]


@pytest.fixture
def hole(start: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Corridors]]:
    """A reward that rises with the position, fitted where the ground is good: beyond the cliff it rises, too."""
    policy = open_policy(start, CPU)
    rng = np.random.default_rng(0)
    walks = []
    for _ in range(60):
        moves = rng.integers(-1, 2, EPISODE) + (rng.random(EPISODE) < 0.3)
        walks.append(np.clip(np.cumsum(moves), 0, CLIFF).tolist())
    seen = torch.cat([latents_at(policy, one) for one in walks])
    position = torch.tensor([one for walk in walks for one in walk], dtype=torch.float32)
    # One direction of the latents is enough to see the position.
    z = seen - seen.mean(0)
    weights = torch.linalg.solve(
        z.T @ z + 1e-1 * torch.eye(z.shape[1]), z.T @ (position - position.mean())
    )
    model = RewardModel(
        RewardSizes(model="linear", members=1, latents=TINY.hidsize, components=4, references=len(seen))
    ).eval()  # fmt: skip
    _, _, directions = torch.linalg.svd(z, full_matrices=False)
    basis = torch.cat([(weights / weights.norm())[:, None], directions[:3].T], dim=1)
    with torch.no_grad():
        model.mean.copy_(seen.mean(0))
        model.basis.copy_(basis / (z @ basis).std(0))
        member: Any = model.members[0]
        member.head.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    features = model.features(seen)
    places = torch.arange(len(seen)) % 2
    model.settle(features, places, model.step_scores(features))
    monkeypatch.setattr(ppo, "_open", lambda *_: model)
    made: list[Corridors] = []

    def opened(*_: Any) -> Corridors:
        made.append(Corridors(8))
        return made[-1]

    monkeypatch.setattr(ppo, "open_worlds", opened)
    yield made


def config(start: Path, out: Path, **changes: Any) -> PPOConfig:
    values = {
        "out": str(out), "init": str(start), "reward": "planted", "iterations": 14, "environments": 8, "steps": 34, "epochs": 3,
        "minibatch": 64, "lr": 4e-2, "discount": 0.9, "warmup": 1, "kl": 0.0, "kl_target": None, "kl_limit": 50.0,
        "step_limit": 0.5, "device": "cpu", "progress": False,
    }  # fmt: skip
    return PPOConfig(**{**values, **changes})


def beyond(worlds: Corridors) -> float:
    """Share of the last steps that are beyond the cliff."""
    return float(np.mean(np.array(worlds.visited[-8 * 64 :]) > CLIFF))


def test_the_gate_closes_a_hole_unless_it_looks_like_the_training_frames(
    start: Path, hole: list[Corridors]
) -> None:
    model: RewardModel = ppo._open()  # type: ignore[call-arg]
    policy, walk = open_policy(start, CPU), [*range(CLIFF + 1), CLIFF + 2]
    unlike, alike = (model.rewards(latents_at(policy, walk, look)) for look in (picture, brighter))
    for one in (unlike, alike):
        assert one.mean[-1] > one.mean[:-1].max()  # a hole
    assert unlike.distance[-1] > 1 > unlike.distance[:-1].max() and alike.distance[-1] < 1
    assert model.gated(unlike)[-1] == model.floor and model.gated(alike)[-1] == alike.mean[-1]


@pytest.mark.long
def test_the_hole_is_found_without_the_gate_and_not_with_it(
    start: Path, hole: list[Corridors], tmp_path: Path
) -> None:
    for gate in (False, True):
        result = ppo.train(config(start, tmp_path / str(gate), gate=gate))
        assert result.report is not None and result.report.ended == ""
        assert result.report.figures["reward"] > 0.2
    without, with_gate = hole
    assert beyond(without) > 0.3
    assert beyond(with_gate) < 0.05
    assert np.mean(with_gate.visited[-512:]) > np.mean(with_gate.visited[:512])


def test_it_ends_at_the_last_policy_within_its_limit_and_plays(
    start: Path, hole: list[Corridors], tmp_path: Path
) -> None:
    cfg = config(start, tmp_path / "run", kl_limit=0.02, warmup=0)
    result = ppo.train(cfg)
    assert result.report is not None and "above kl_limit=0.02" in result.report.ended
    assert result.report.divergence <= 0.02 and result.step < 14
    assert ppo.train(cfg).report == result.report
    before, after = open_policy(start, CPU).state_dict(), open_policy(result.run, CPU).state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith(("pi_head.", "value_head.")) for name in changed)
    assert PPOAgent(result.run, device="cpu").name == "ppo"


def test_a_second_reward_model_ends_it_with_the_policy_that_it_liked_best(
    start: Path, hole: list[Corridors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: Any = ppo._open()  # type: ignore[call-arg]
    second = copy.deepcopy(first)
    with torch.no_grad():  # it likes it where the policy comes from
        second.members[0].head.weight.neg_()
        second.centre.neg_()
    monkeypatch.setattr(
        ppo, "_open", lambda _, path, *__: {"planted": first, "other": second}[path]
    )
    liked: list[float] = []
    played: list[dict[str, torch.Tensor]] = []
    iterate, play = ppo._Learner._iterate, Player.play

    def looked_at(self: ppo._Learner, steps: Any) -> dict[str, float]:
        values = iterate(self, steps)
        liked.append(values["second_reward"])
        return values

    def copied(self: Player, steps: int) -> Any:
        played.append(copy.deepcopy(self._policy.state_dict()))
        return play(self, steps)

    monkeypatch.setattr(ppo._Learner, "_iterate", looked_at)
    monkeypatch.setattr(Player, "play", copied)
    result = ppo.train(config(start, tmp_path / "run", second="other", warmup=0))
    assert result.report is not None
    best = int(np.argmax(liked))
    assert "the second reward model liked the policies of iterations" in result.report.ended
    assert result.report.ended.endswith(f"the policy is that of iteration {best}")
    assert len(liked) == best + 1 + ppo.FALLS < 14
    found = open_policy(result.run, CPU).state_dict()
    assert torch.equal(found["pi_head.buttons.linear_layer.weight"], played[best]["pi_head.buttons.linear_layer.weight"])  # fmt: skip


def test_a_killed_run_resumes_where_it_was(
    start: Path, hole: list[Corridors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(start, tmp_path / "run", iterations=3, warmup=0, kl=0.2, kl_target=0.03)
    played: list[dict[str, torch.Tensor]] = []
    play = Player.play

    def killed(self: Player, steps: int) -> Any:
        played.append(copy.deepcopy(self._policy.state_dict()))
        if len(played) == 3:
            raise KeyboardInterrupt
        return play(self, steps)

    monkeypatch.setattr(Player, "play", killed)
    with pytest.raises(KeyboardInterrupt):
        ppo.train(cfg)
    result = ppo.train(cfg)
    assert result.step == 3 and not result.interrupted and len(played) == 4
    assert all(torch.equal(one, played[3][name]) for name, one in played[2].items())
    rows = read_metrics(tmp_path / "run")
    assert [row.step for row in rows] == [1, 2, 3]
    one, two, three = (row.model_dump()["kl_weight"] for row in rows)
    assert one < two < three
    assert ppo.train(cfg).report == result.report and len(played) == 4


def test_a_policy_that_is_not_the_one_that_played_is_found(
    start: Path, hole: list[Corridors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Player.play

    def mixed_up(self: Player, steps: int) -> Any:
        played = real(self, steps)
        return played._replace(log_probs=played.log_probs + 1e-3)

    monkeypatch.setattr(Player, "play", mixed_up)
    with pytest.raises(RuntimeError, match="expected ratios of 1 before the first pass"):
        ppo.train(config(start, tmp_path / "run", iterations=1))


def test_rewards_are_of_the_states_that_follow_and_steps_not_played_have_none(
    start: Path, tmp_path: Path
) -> None:
    player = Player(Corridors(2), open_policy(start, CPU), kept=3, seed=0)
    player.play(EPISODE - 4)
    played = player.play(8)
    assert played.played[:, 0].tolist() == [True] * 4 + [False] + [True] * 3
    assert played.ended[:, 0].tolist() == [False] * 3 + [True] + [False] * 4
    assert not played.terminated.any() and len(played.histories[0]) == 3
    lengths: list[int] = []

    def first_column(latents: torch.Tensor) -> torch.Tensor:
        lengths.append(len(latents))
        return latents[:, 0]

    rewards = played.rewards(first_column)
    expected = torch.where(played.played, played.latents[1:, :, 0], 0)
    torch.testing.assert_close(rewards, expected)
    assert lengths[:2] == [3 + 5, 4]


def test_the_divergence_has_its_known_value(start: Path) -> None:
    policy = open_policy(start, CPU)
    output = of_latents(policy, torch.zeros(1, 1, TINY.hidsize))
    even = output._replace(buttons_logits=torch.zeros(1, 1, 3), camera_logits=torch.zeros(1, 1, 2))
    odd = even._replace(buttons_logits=torch.tensor([[[1.0, 0.0, 0.0]]]))
    found = kl_to_base(odd, even, torch.ones(1, 1, dtype=torch.bool))
    assert found.item() == pytest.approx(0.1233, abs=1e-4)


def test_a_start_and_a_reward_model_are_needed() -> None:
    with pytest.raises(ConfigError, match="init: expected a policy to start from"):
        PPOConfig(out="x")
    with pytest.raises(ConfigError, match="first_seed: expected at most 199000"):
        PPOConfig(out="x", init="y", reward="z", first_seed=199_500)
