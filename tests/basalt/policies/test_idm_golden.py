"""Our inverse dynamics model gives the published code's numbers (golden data: see its README)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.io.errors import ConfigError
from basalt.policies import idm as idm_module
from basalt.policies.idm import IDMOutput, InverseDynamicsModel, idm_config


def make(golden: Path, use_lastlayer: bool = False) -> InverseDynamicsModel:
    kwargs = json.loads((golden / "tiny_idm_kwargs.json").read_text())
    config = idm_config(kwargs["idm_net_kwargs"], kwargs["pi_head_kwargs"])
    model = InverseDynamicsModel(config, use_lastlayer)
    with np.load(golden / "tiny_idm_weights_f16.npz") as stored:
        weights = {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}
    model.load_state_dict(weights)  # every name and shape agrees
    return model.eval()


@pytest.fixture(scope="module")
def golden(golden: Path) -> Path:
    return golden / "vpt"


@pytest.fixture(scope="module")
def io(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "tiny_idm_io.npz") as stored:
        return {k: stored[k] for k in stored.files}


def close(ours: torch.Tensor, theirs: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=atol)


def check_heads(out: IDMOutput, io: dict[str, np.ndarray]) -> None:
    close(out.latent, io["latent"], 2e-3)
    close(out.buttons_logits.log_softmax(-1), io["buttons_logprob"], 1e-3)
    close(out.camera_logits.log_softmax(-1), io["camera_logprob"], 1e-3)
    np.testing.assert_array_equal(out.buttons_logits.argmax(-1), io["buttons_argmax"])
    np.testing.assert_array_equal(out.camera_logits.argmax(-1), io["camera_argmax"])


def test_names_and_size_of_the_published_4x(golden: Path) -> None:
    table = json.loads((golden / "state_dict_idm_4x.json").read_text())
    kwargs = next(v for k, v in table.items() if "net_kwargs" in k)
    head = next(v for k, v in table.items() if "pi_head" in k)
    with torch.device("meta"):
        state = InverseDynamicsModel(idm_config(kwargs, head)).state_dict()
    assert {k: list(v.shape) for k, v in state.items()} == table["state_dict"]


@torch.no_grad()
def test_outputs_and_intermediates(golden: Path, io: dict[str, np.ndarray]) -> None:
    model = make(golden)
    seen: dict[str, torch.Tensor] = {}
    net = model.net
    net.conv3d_layer.register_forward_hook(lambda _m, _i, out: seen.update(conv=out))
    net.img_process.register_forward_hook(lambda _m, _i, out: seen.update(embedding=out))
    net.recurrent_layer.register_forward_hook(lambda _m, _i, out: seen.update(blocks=out[0]))
    check_heads(model(torch.from_numpy(io["img"])), io)
    close(seen["conv"][0, :, :, :8, :8], io["conv3d_out_first8x8"], 1e-4)
    close(seen["embedding"], io["frame_embedding"], 2e-3)
    close(seen["blocks"], io["blocks_out"], 2e-3)


@torch.no_grad()
def test_slices_of_a_long_window_change_nothing(
    golden: Path, io: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idm_module, "INFERENCE_SLICE", 5)
    check_heads(make(golden)(torch.from_numpy(io["img"])), io)


@torch.no_grad()
def test_the_last_layer_is_a_switch(golden: Path, io: dict[str, np.ndarray]) -> None:
    out = make(golden, use_lastlayer=True)(torch.from_numpy(io["img"]))
    close(out.latent, io["latent_if_lastlayer_were_used"], 2e-3)


@torch.no_grad()
def test_every_frame_sees_past_and_future(golden: Path, io: dict[str, np.ndarray]) -> None:
    model = make(golden)
    before = model(torch.from_numpy(io["img"])).latent
    changed = io["img"].copy()
    changed[:, 6] = 255 - changed[:, 6]
    after = model(torch.from_numpy(changed)).latent
    assert ((before - after).abs().amax(-1) > 1e-4).all()


def test_a_policys_settings_are_refused(golden: Path) -> None:
    kwargs = json.loads((golden / "tiny_policy_kwargs.json").read_text())
    with pytest.raises(ConfigError, match="got a policy"):
        idm_config(kwargs["policy_kwargs"], kwargs["pi_head_kwargs"])
