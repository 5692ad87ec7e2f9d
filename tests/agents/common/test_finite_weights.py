"""Weights that are not numbers are refused in one line, whatever they are the weights of."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from agents.reward.model import RewardModel, RewardSizes
from agents.reward.saved import RewardCheckpoint, load_reward
from basalt.io.errors import ConfigError
from basalt.io.tensors import check_finite
from basalt.policies.checkpoint import load_policy, write_checkpoint
from basalt.policies.ending import EndingCheckpoint, EndingNet, load_ending
from basalt.probes.sae.files import SAEInfo, load_sae, save_sae
from basalt.probes.sae.model import SAE
from tests.support.tiny_policy import TINY, tiny_run

CPU = torch.device("cpu")


def policy(folder: Path) -> Callable[[], object]:
    tiny_run(folder)
    return lambda: load_policy(folder, CPU)


def reward(folder: Path) -> Callable[[], object]:
    sizes = RewardSizes(model="mlp", members=2, latents=8, components=3, references=5, width=4)
    facts = RewardCheckpoint(
        step=1, sizes=sizes, trunk="t", trunk_fingerprint="f", task="find_cave", question="", world="w",
        world_version="1", sources=("human",), flip_rate=0.0, answers="a", train_places=(), held_out_places=(),
        temperature=None, finished=True,
    )  # fmt: skip
    write_checkpoint(folder, 1, facts, RewardModel(sizes).state_dict(), {})
    return lambda: load_reward(folder, CPU)


def ending(folder: Path) -> Callable[[], object]:
    facts = EndingCheckpoint(step=1, encoder=TINY, task="find_cave")
    write_checkpoint(folder, 1, facts, EndingNet(TINY).state_dict(), {})
    return lambda: load_ending(folder, CPU)


def autoencoder(folder: Path) -> Callable[[], object]:
    save_sae(folder / "sae", SAE(8, 16), SAEInfo())
    return lambda: load_sae(folder / "sae")


@pytest.mark.parametrize("make", [policy, reward, ending, autoencoder])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_numbers_are_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Callable[[], object]], value: float
) -> None:
    load = make(tmp_path)
    load()
    (file,) = (one for one in tmp_path.rglob("*.safetensors") if "training" not in one.name)
    weights = load_file(file)
    name = sorted(key for key, one in weights.items() if one.is_floating_point())[-1]
    weights[name].view(-1)[-1] = value
    save_file(weights, file)
    with pytest.raises(ConfigError) as error:
        load()
    assert str(error.value) == (
        f"{file}: {name}: expected finite weights, got {value}; use another checkpoint"
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.floats(width=16), min_size=1, max_size=30),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_every_place_and_type_is_looked_at(values: list[float], dtype: torch.dtype) -> None:
    weights = {
        "count": torch.arange(3),
        "none": torch.zeros(0),
        "w": torch.tensor(values).to(dtype),
    }
    if torch.isfinite(weights["w"]).all():
        check_finite(weights, "file")
    else:
        with pytest.raises(ConfigError, match="file: w: expected finite weights, got "):
            check_finite(weights, "file")


@pytest.mark.parametrize("sizes", [{"d_in": 10**9}, {"d_sae": 10**9}, {"d_in": 9}, {"d_in": "x"}])
def test_an_autoencoder_s_sizes_are_compared_before_it_is_made(
    tmp_path: Path, sizes: dict[str, object]
) -> None:
    load = autoencoder(tmp_path)
    file = tmp_path / "sae" / "cfg.json"
    (name, value) = next(iter(sizes.items()))
    text = file.read_text().replace(
        f'"{name}": {8 if name == "d_in" else 16}', f'"{name}": {value!r}'
    )
    file.write_text(text.replace("'", '"'))
    with pytest.raises(ConfigError) as error:
        load()
    assert "\n" not in str(error.value)
