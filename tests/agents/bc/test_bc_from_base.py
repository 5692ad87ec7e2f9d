"""Cloning that begins with a policy: whole, its last layer, its heads on embeddings; and in a team."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.bc.agent import BCAgent
from agents.bc.config import TrainConfig
from agents.bc.train import train
from agents.common.objective import kl_to_base
from basalt.core.tasks import get_task
from basalt.data.dataset import single_pass
from basalt.data.embeddings import load_embedded
from basalt.data.episodes import load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import load_policy, save_checkpoint
from basalt.policies.config import VPTConfig
from basalt.policies.embed import EmbedConfig, embed
from basalt.policies.imitation import evaluate
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from tests.support.synthetic import BLUE, RED, picture, write_episode, write_episodes

TINY = VPTConfig(
    hidsize=32, attention_heads=2, attention_memory_size=24, timesteps=8, n_recurrence_layers=1,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(32, 32, 3),
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_006), 40)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose heads are far from uniform."""
    torch.manual_seed(1)
    policy = VPTPolicy(TINY)
    with torch.no_grad():
        for head in ("buttons", "camera"):
            policy.pi_head[head].get_submodule("linear_layer").weight.mul_(3)  # type: ignore[operator]
    run = tmp_path_factory.mktemp("base")
    save_checkpoint(run, 1, policy, {}, {"task": "find_cave"})
    return run


@pytest.fixture(scope="module")
def embeddings(folder: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embeddings")
    embed(
        EmbedConfig(
            str(folder),
            str(base),
            str(out),
            dtype="float32",
            workers=0,
            device="cpu",
            progress=False,
        )
    )
    return out


def config(data: Path, out: Path, base: Path, **changes: object) -> TrainConfig:
    settings = {"data": str(data), "out": str(out), "init": str(base), "device": "cpu"}
    settings |= {
        "batch_size": 4,
        "seq_len": 8,
        "lr": 1e-2,
        "warmup": 2,
        "held_out": 0.4,
        "mirror": False,
    }
    values: dict[str, Any] = {**settings, "steps": 6, **changes}
    return TrainConfig(**values)


def changed(run: Path, base: Path) -> set[str]:
    """Weights that differ from the base's, by the first two parts of their names."""
    mine, theirs = (load_policy(path, CPU)[0].state_dict() for path in (run, base))
    names = (name for name in mine if not torch.equal(mine[name], theirs[name]))
    return {".".join(name.split(".")[:2]) for name in names}


def curve(run: Path, name: str = "loss") -> list[float]:
    return [json.loads(row)[name] for row in (run / "metrics.jsonl").open()]


HEADS = {"pi_head.buttons", "pi_head.camera", "esc_head.linear"}


def test_only_what_is_to_be_trained_changes(folder: Path, base: Path, tmp_path: Path) -> None:
    for part, expected in (("heads", HEADS), ("last", HEADS | {"net.lastlayer", "net.final_ln"})):
        run = tmp_path / part
        train(config(folder, run, base, trainable=part, kl=0.1))
        assert changed(run, base) == expected
    train(config(folder, tmp_path / "all", base))
    assert {"net.img_process", "net.recurrent_layer"} < changed(tmp_path / "all", base)


def test_heads_learn_from_embeddings_as_from_pictures(
    folder: Path, base: Path, embeddings: Path, tmp_path: Path
) -> None:
    """The same episodes in the same order, so the same curve, without the trunk's work."""
    pictures = config(folder, tmp_path / "pictures", base, trainable="heads", kl=0.2)
    # One row begins at a random frame: memory is empty there only where the trunk runs. Compare
    # where it does not matter, in whole episodes.
    slow, fast = (
        train(pictures),
        train(replace(pictures, data=str(embeddings), out=str(tmp_path / "fast"))),
    )
    assert fast.report.policy.loss == pytest.approx(slow.report.policy.loss, abs=0.3)
    assert fast.last_loss < fast.first_loss
    assert changed(fast.run, base) == HEADS
    # The result is a whole policy that plays.
    rng = np.random.default_rng(0)
    screens = np.stack([picture(colour, rng) for colour in (BLUE, RED)])
    assert len(BCAgent(fast.run, "cpu").act(screens, np.array([True, True]))) == 2


def test_embedded_episodes_are_measured_as_their_pictures(
    folder: Path, base: Path, embeddings: Path
) -> None:
    policy, _ = load_policy(base, CPU)
    pictures, embedded = load_episodes(folder, size=TINY.frame_size), load_embedded(embeddings)
    assert [e.split_group for e in pictures] == [e.split_group for e in embedded]
    slow, fast = evaluate(policy, pictures), evaluate(policy, embedded)
    for name in ("loss", "buttons", "camera", "esc", "esc_expected"):
        assert fast[name] == pytest.approx(slow[name], abs=1e-3)
    (batch,) = single_pass(embedded[:1], 1, len(embedded[0]))
    assert batch.inputs.shape == (1, len(embedded[0]), 32)
    kept = load_embedded(embeddings, drop_null=True)
    assert [len(e) for e in kept] == [len(e) for e in load_episodes(folder, drop_null=True)]


def test_a_penalty_keeps_the_policy_near_its_base(folder: Path, base: Path, tmp_path: Path) -> None:
    free = train(config(folder, tmp_path / "free", base, kl=1e-9, steps=12))
    held = train(config(folder, tmp_path / "held", base, kl=20.0, steps=12))
    assert curve(free.run, "kl")[0] == pytest.approx(0, abs=1e-5)
    assert curve(held.run, "kl")[-1] < 0.3 * curve(free.run, "kl")[-1]


def test_the_divergence_is_that_of_the_formula() -> None:
    torch.manual_seed(0)

    def output() -> PolicyOutput:
        empty = torch.zeros(0)
        return PolicyOutput(
            empty,
            torch.randn(2, 3, 8641),
            torch.randn(2, 3, 121),
            empty,
            empty,
            empty,
            None,  # type: ignore[arg-type]
        )

    ours, theirs = output(), output()
    valid = torch.tensor([[True, True, False], [True, True, True]])
    expected = sum(
        torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=a), torch.distributions.Categorical(logits=b)
        )
        for a, b in (
            (ours.buttons_logits, theirs.buttons_logits),
            (ours.camera_logits, theirs.camera_logits),
        )
    )
    assert kl_to_base(ours, theirs, valid) == pytest.approx(float(expected[valid].mean()), rel=1e-5)
    assert kl_to_base(ours, ours, valid) == 0


def test_interrupted_and_resumed_equals_uninterrupted_with_a_base(
    folder: Path, base: Path, tmp_path: Path
) -> None:
    whole = train(config(folder, tmp_path / "whole", base, kl=0.5, steps=6))
    parts = config(folder, tmp_path / "parts", base, kl=0.5, steps=3, warmup=6)
    train(parts)
    train(replace(parts, steps=6))
    again = train(config(folder, tmp_path / "again", base, kl=0.5, steps=6, warmup=6))
    assert curve(tmp_path / "parts") == pytest.approx(curve(again.run), abs=1e-5)
    assert curve(whole.run)[0] == pytest.approx(curve(again.run)[0])


@pytest.mark.long
def test_two_processes_give_the_loss_curve_of_one(folder: Path, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    alone = train(config(folder, tmp_path / "one", base, kl=0.3, checkpoint_every=4))
    team = train(config(folder, tmp_path / "two", base, kl=0.3, checkpoint_every=4, devices=2))
    assert curve(team.run) == pytest.approx(curve(alone.run), abs=1e-4)
    assert curve(team.run, "kl") == pytest.approx(curve(alone.run, "kl"), abs=1e-4)
    one, two = (load_policy(run, CPU)[0].state_dict() for run in (alone.run, team.run))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-3)
    # One process resumes what two began.
    cfg = config(folder, tmp_path / "two", base, kl=0.3, checkpoint_every=4, steps=7)
    assert train(cfg).step == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable": "some"}, "trainable: unknown option 'some'; available: all, last, heads"),
        ({"init": "", "trainable": "last"}, "need a policy to start from"),
        ({"init": "", "kl": 1.0}, "need a policy to start from"),
        ({"kl": -1.0}, "kl: expected at least 0, got -1.0"),
        ({"devices": 3}, "devices: expected a divisor of batch_size=4, got 3"),
        ({"labels": "best"}, "labels: unknown option 'best'; available: corrected, legacy"),
        ({"init": "foundation-9x"}, "init: expected a checkpoint or a run"),
    ],
)
def test_settings_that_do_not_go_together(
    folder: Path, base: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config(folder, tmp_path / "run", base, **settings))
    assert not (tmp_path / "run").exists()


def test_embeddings_of_official_seeds_are_not_learned_from(base: Path, tmp_path: Path) -> None:
    official = get_task("find_cave").official_seeds
    write_episode(tmp_path / "data", 100_000, 12)
    write_episode(tmp_path / "data", official[0], 12)
    out = tmp_path / "embeddings"
    embed(EmbedConfig(str(tmp_path / "data"), str(base), str(out), workers=0, progress=False))
    with pytest.raises(ConfigError, match=rf"{official[0]} is an official evaluation seed"):
        train(config(out, tmp_path / "run", base))
    assert not (tmp_path / "run").exists()


def test_embeddings_of_another_policy_are_refused(embeddings: Path, tmp_path: Path) -> None:
    torch.manual_seed(9)
    save_checkpoint(tmp_path / "other", 1, VPTPolicy(TINY), {}, {})
    with pytest.raises(ConfigError, match="expected the policy that made the embeddings"):
        train(config(embeddings, tmp_path / "run", tmp_path / "other"))
    with pytest.raises(ConfigError, match="embeddings train only the heads"):
        train(config(embeddings, tmp_path / "run", tmp_path / "other", trainable="last"))
