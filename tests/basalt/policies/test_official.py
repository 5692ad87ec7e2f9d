"""Published files are read without running what is in them, and mismatches are named."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basalt.io.errors import ConfigError
from basalt.policies.config import VPTConfig
from basalt.policies.official import (
    load_official_policy,
    read_model_file,
    read_weights_file,
)


@pytest.fixture(scope="module")
def golden(golden: Path) -> Path:
    return golden / "vpt"


def write_model(path: Path, golden: Path, **changes: Any) -> Path:
    kwargs = json.loads((golden / "tiny_policy_kwargs.json").read_text())
    net = {"args": kwargs["policy_kwargs"] | changes, "function": "x"}
    arguments = {"net": net, "pi_head_opts": kwargs["pi_head_kwargs"]}
    path.write_bytes(pickle.dumps({"model": {"args": arguments}}))
    return path


def tiny_weights(golden: Path) -> dict[str, torch.Tensor]:
    with np.load(golden / "tiny_policy_weights_f16.npz") as stored:
        return {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}


def write_weights(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    torch.save(weights, path)
    return path


def test_the_real_1x_file(published: Path) -> None:
    settings = read_model_file(published / "vpt_model" / "foundation-model-1x.model")
    config = VPTConfig.from_kwargs(settings.policy_kwargs, settings.pi_head_kwargs)
    assert config == VPTConfig.preset("1x")
    assert (config.temperature, config.memory) == (1.0, 128)


def test_code_in_a_model_file_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made-by-the-pickle"

    class Attack:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(target),)

    file = tmp_path / "bad.model"
    file.write_bytes(pickle.dumps({"model": Attack()}))
    with pytest.raises(
        ConfigError, match=r"bad\.model: refused as a \.model file: it contains posix\.mkdir"
    ):
        read_model_file(file)
    torch.save({"net": Attack()}, tmp_path / "bad.weights")
    with pytest.raises(ConfigError, match=r"bad\.weights: not a published"):
        read_weights_file(tmp_path / "bad.weights")
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a pickle", "not a published|refused"),
        (pickle.dumps({"model": {}}), "not a published"),
        (pickle.dumps([1, 2]), "not a published"),
        (b"", "not a published"),
        (b"\x80\x04" + b"x" * 2**20, "larger than"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.model"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_model_file(file)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.model: \.model file not found"):
        read_model_file(tmp_path / "a.model")
    with pytest.raises(ConfigError, match=r"a\.weights: \.weights file not found"):
        read_weights_file(tmp_path / "a.weights")


@torch.no_grad()
def test_a_loaded_policy_gives_the_golden_latents(golden: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "a.model", golden)
    weights = write_weights(tmp_path / "a.weights", tiny_weights(golden) | {"extra": torch.ones(1)})
    policy, report = load_official_policy(model, weights)
    assert report.unexpected == ("extra",)
    assert set(report.missing) == {"esc_head.linear.weight", "esc_head.linear.bias"}
    with np.load(golden / "tiny_policy_io.npz") as io:
        img, want = torch.from_numpy(io["img"]), io["long.latent"]
    out = policy(img, torch.zeros(2, 36, dtype=torch.bool), policy.initial_state(2))
    np.testing.assert_allclose(out.latent.numpy(), want, atol=2e-3)
    assert (out.esc_logit == 0).all()


def test_a_file_without_value_head_loads(golden: Path, tmp_path: Path) -> None:
    weights = {k: v for k, v in tiny_weights(golden).items() if not k.startswith("value_head.")}
    model = write_model(tmp_path / "a.model", golden)
    _, report = load_official_policy(model, write_weights(tmp_path / "a.weights", weights))
    assert any(name.startswith("value_head.") for name in report.missing)


def test_missing_network_weights_are_refused(golden: Path, tmp_path: Path) -> None:
    weights = tiny_weights(golden)
    del weights["net.lastlayer.layer.weight"]
    model = write_model(tmp_path / "a.model", golden)
    with pytest.raises(ConfigError, match=r"1 weights are missing, the first is net\.lastlayer"):
        load_official_policy(model, write_weights(tmp_path / "a.weights", weights))


def test_files_of_different_models_are_refused(golden: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "a.weights", tiny_weights(golden))
    model = write_model(tmp_path / "a.model", golden, hidsize=128)
    with pytest.raises(ConfigError, match="use two files of the same model"):
        load_official_policy(model, weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidsize": "wide"}, "hidsize: expected an integer, got 'wide'"),
        ({"hidsize": True}, "hidsize: expected an integer, got True"),
        ({"impala_chans": 4}, "impala_chans: expected a list, got 4"),
        ({"impala_chans": [4, -4, 4]}, r"impala_chans\.1: expected at least 1, got -4"),
        ({"img_shape": [128, 128]}, r"img_shape\.2: expected a value"),
        ({"init_norm_kwargs": []}, "no attribute"),
        ({"init_norm_kwargs": {"group_norm_groups": 3}}, "must be divisible by"),
        ({"use_pre_lstm_ln": "yes"}, "use_pre_lstm_ln: expected true or false, got 'yes'"),
    ],
)
def test_settings_that_are_no_networks_are_one_line(
    golden: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    weights = write_weights(tmp_path / "a.weights", tiny_weights(golden))
    model = write_model(tmp_path / "a.model", golden, **changes)
    with pytest.raises(
        ConfigError, match=rf"a\.model: expected the settings .*{message}.*download"
    ) as error:
        load_official_policy(model, weights)
    assert "\n" not in str(error.value)


def test_an_architecture_we_do_not_have_is_refused(golden: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "a.weights", tiny_weights(golden))
    model = write_model(tmp_path / "a.model", golden, recurrence_type="multi_layer_lstm")
    with pytest.raises(ConfigError, match="recurrence_type='multi_layer_lstm' is not supported"):
        load_official_policy(model, weights)
