"""Our VPT policy gives the published code's numbers (golden data: see its README)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.policies.attention import PolicyState
from basalt.policies.config import VPTConfig
from basalt.policies.preprocess import resize_frame, resize_frames
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from tests.support.vpt_recipes import recipe_images, recipe_weights

LATENT, LOGPROB, VALUE, MEMORY = 2e-3, 1e-3, 1e-3, 5e-3


@pytest.fixture(scope="module")
def golden(golden: Path) -> Path:
    return golden / "vpt"


@pytest.fixture(scope="module")
def tiny(golden: Path) -> VPTPolicy:
    kwargs = json.loads((golden / "tiny_policy_kwargs.json").read_text())
    policy = VPTPolicy(VPTConfig.from_kwargs(kwargs["policy_kwargs"], kwargs["pi_head_kwargs"]))
    with np.load(golden / "tiny_policy_weights_f16.npz") as stored:
        weights = {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}
    load_official(policy, weights)
    return policy.eval()


@pytest.fixture(scope="module")
def tiny_io(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "tiny_policy_io.npz") as stored:
        return {k: stored[k] for k in stored.files}


def load_official(policy: VPTPolicy, weights: dict[str, torch.Tensor]) -> None:
    """Every golden name exists with its shape, and only our ESC head is missing."""
    result = policy.load_state_dict(weights, strict=False)
    assert result.unexpected_keys == []
    assert {key.split(".")[0] for key in result.missing_keys} == {"esc_head"}


@torch.no_grad()
def run_chunks(
    policy: VPTPolicy, img: np.ndarray, first: np.ndarray, cuts: list[int]
) -> tuple[PolicyOutput, PolicyState]:
    """Run [B, T] frames in calls that end at `cuts`; outputs are joined along time."""
    images, flags = torch.from_numpy(img), torch.from_numpy(first)
    state = policy.initial_state(len(img))
    outputs = []
    for start, stop in zip([0, *cuts[:-1]], cuts, strict=True):
        out = policy(images[:, start:stop], flags[:, start:stop], state)
        state = out.state
        outputs.append(out)
    joined = {
        name: torch.cat([getattr(o, name) for o in outputs], 1)
        for name in PolicyOutput._fields
        if name != "state"
    }
    return PolicyOutput(**joined, state=state), state


def close(ours: torch.Tensor, theirs: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=atol)


def check_argmax(logits: torch.Tensor, theirs: np.ndarray) -> None:
    """The same choice, unless two log-probabilities are within 2e-3."""
    logp = logits.log_softmax(-1)
    chosen = logp.gather(-1, torch.from_numpy(theirs)[..., None])[..., 0]
    assert (logp.max(-1).values - chosen).max() <= 2e-3


def check_tiny(out: PolicyOutput, io: dict[str, np.ndarray], name: str, frames: list[int]) -> None:
    close(out.latent, io[f"{name}.latent"], LATENT)
    close(out.camera_logits.log_softmax(-1), io[f"{name}.camera_logprob"], LOGPROB)
    close(out.value_normalized, io[f"{name}.value_normalized"], VALUE)
    close(out.value, io[f"{name}.value"], VALUE)
    check_argmax(out.buttons_logits, io[f"{name}.buttons_argmax"])
    logp = out.buttons_logits[:, frames].log_softmax(-1)
    close(logp, io[f"{name}.buttons_logprob_at_t"], LOGPROB)
    for j in range(2):
        mask = io[f"{name}.final.{j}.mask"][:, 0]
        np.testing.assert_array_equal(out.state.mask.numpy(), mask)
        close(out.state.keys[j][mask], io[f"{name}.final.{j}.k"][mask], MEMORY)
        close(out.state.values[j][mask], io[f"{name}.final.{j}.v"][mask], MEMORY)


def test_names_and_size_of_the_published_1x(golden: Path) -> None:
    table = json.loads((golden / "state_dict_1x.json").read_text())
    config = VPTConfig.from_kwargs(table["policy_kwargs"], table["pi_head_kwargs"])
    with torch.device("meta"):
        state = VPTPolicy(config).state_dict()
    ours = {k: list(v.shape) for k, v in state.items() if not k.startswith("esc_head.")}
    assert ours == table["state_dict"]
    assert config.memory == 128
    trainable = {k for k, v in VPTPolicy(VPTConfig.small()).named_parameters() if v.requires_grad}
    assert trainable.isdisjoint(table["not_trainable"])
    assert sum(int(np.prod(s)) for s in ours.values()) == table["total_elements"]


def test_initial_state_is_empty(tiny: VPTPolicy, tiny_io: dict[str, np.ndarray]) -> None:
    state = tiny.initial_state(2)
    assert not state.mask.any()
    for j in range(2):
        close(state.keys[j], tiny_io[f"init.{j}.k"], 0)
        close(state.values[j], tiny_io[f"init.{j}.v"], 0)


def test_chunks(tiny: VPTPolicy, tiny_io: dict[str, np.ndarray]) -> None:
    out, _ = run_chunks(tiny, tiny_io["img"], tiny_io["first_chunk"], [12, 24, 36])
    check_tiny(out, tiny_io, "chunk", [0, 17, 35])


@pytest.mark.parametrize(
    "cuts",
    [list(range(1, 37)), [12, 18, 24, 29, 36], [12, 24, 36], [36], [5, 33, 36]],
    ids=["single steps", "cut at resets", "resets inside chunks", "one call", "uneven"],
)
def test_resets_anywhere_equal_single_steps(
    tiny: VPTPolicy, tiny_io: dict[str, np.ndarray], cuts: list[int]
) -> None:
    out, _ = run_chunks(tiny, tiny_io["img"], tiny_io["first_step"], cuts)
    check_tiny(out, tiny_io, "step", [int(t) for t in tiny_io["buttons_t"]])


def test_call_longer_than_the_memory(tiny: VPTPolicy, tiny_io: dict[str, np.ndarray]) -> None:
    no_flags = np.zeros((2, 36), dtype=bool)
    out, _ = run_chunks(tiny, tiny_io["img"], no_flags, [36])
    check_tiny(out, tiny_io, "long", [0, 17, 35])


def test_flag_on_an_empty_memory_changes_nothing(
    tiny: VPTPolicy, tiny_io: dict[str, np.ndarray]
) -> None:
    flags = np.zeros((2, 4), dtype=bool)
    plain, _ = run_chunks(tiny, tiny_io["img"][:, :4], flags, [4])
    flags[:, 0] = True
    flagged, _ = run_chunks(tiny, tiny_io["img"][:, :4], flags, [4])
    assert torch.equal(plain.latent, flagged.latent)


def test_nothing_before_a_reset_shows(tiny: VPTPolicy, tiny_io: dict[str, np.ndarray]) -> None:
    img, flags = tiny_io["img"][:, :8].copy(), np.zeros((2, 8), dtype=bool)
    flags[:, 5] = True
    before, _ = run_chunks(tiny, img, flags, [8])
    img[:, :5] = 255 - img[:, :5]
    after, _ = run_chunks(tiny, img, flags, [8])
    assert torch.equal(before.latent[:, 5:], after.latent[:, 5:])
    assert not torch.allclose(before.latent[:, :5], after.latent[:, :5], atol=0.1)


@torch.no_grad()
def test_every_intermediate(tiny: VPTPolicy, tiny_io: dict[str, np.ndarray], golden: Path) -> None:
    with np.load(golden / "tiny_policy_intermediates.npz") as stored:
        expected = {k: stored[k] for k in stored.files}
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(_module: torch.nn.Module, _inputs: object, output: object) -> None:
            seen[name] = output[0] if isinstance(output, tuple) else output  # type: ignore[assignment]

        return hook

    modules = dict(tiny.named_modules())
    handles = [modules[n].register_forward_hook(keep(n)) for n in expected if n in modules]
    run_chunks(tiny, tiny_io["img"][:1, :2], np.zeros((1, 2), dtype=bool), [2])
    for handle in handles:
        handle.remove()
    assert set(seen) == set(expected)
    for name, want in expected.items():
        # Big arrays are stored for frame 0 only.
        got = seen[name].flatten()[: want.size].reshape(want.shape)
        close(got, want, LATENT if want.ndim < 4 else 5e-3)


@torch.no_grad()
def test_hook_points_are_named_modules_that_pass_activations_through(tiny: VPTPolicy) -> None:
    points = tiny.hook_points()
    assert list(points) == [
        "embed",
        *(
            f"blocks.{j}.{s}"
            for j in range(2)
            for s in ("q", "k", "v", "r", "attn_z", "resid_mid", "mlp_out", "resid_post")
        ),
        "lastlayer",
        "latent",
    ]
    names = {id(module): name for name, module in tiny.named_modules()}
    assert all(id(module) in names for module in points.values())
    img = np.random.default_rng(0).integers(0, 256, (1, 3, 128, 128, 3), dtype=np.uint8)
    clean, _ = run_chunks(tiny, img, np.zeros((1, 3), dtype=bool), [3])
    for name, module in points.items():
        shapes: list[torch.Size] = []
        handle = module.register_forward_hook(lambda _m, _i, out, s=shapes: s.append(out.shape))
        same, _ = run_chunks(tiny, img, np.zeros((1, 3), dtype=bool), [3])
        handle.remove()
        width = tiny.config.attention_heads * 10 if name.endswith(".r") else 64
        assert shapes == [(1, 3, width)], name
        assert torch.equal(same.latent, clean.latent)
        handle = module.register_forward_hook(lambda _m, _i, out: 5 - 9 * out)
        changed, _ = run_chunks(tiny, img, np.zeros((1, 3), dtype=bool), [3])
        handle.remove()
        assert not torch.allclose(changed.buttons_logits, clean.buttons_logits, atol=1e-3), name


def full_policy(golden: Path, recipe: dict, check: dict[str, np.ndarray]) -> VPTPolicy:
    weights = recipe_weights(recipe["shapes"], recipe["weight_seed"])
    for key, total, absolute in zip(
        check["weight_keys"], check["weight_sum"], check["weight_abs_sum"], strict=True
    ):
        as64 = weights[str(key)].double()
        assert float(as64.sum()) == pytest.approx(float(total), abs=1e-6)
        assert float(as64.abs().sum()) == pytest.approx(float(absolute), rel=1e-9)
    policy = VPTPolicy(VPTConfig.from_kwargs(recipe["policy_kwargs"], recipe["pi_head_kwargs"]))
    load_official(policy, weights)
    return policy.eval()


def check_full(out: PolicyOutput, check: dict[str, np.ndarray], name: str) -> None:
    frames = check[f"{name}.t"]
    close(out.latent[:, frames], check[f"{name}.latent"], LATENT)
    np.testing.assert_allclose(
        out.latent.abs().mean(-1).numpy(), check[f"{name}.latent_mean_abs"], atol=LATENT
    )
    close(out.value_normalized, check[f"{name}.value_normalized"], VALUE)
    close(out.value, check[f"{name}.value"], VALUE)
    camera = out.camera_logits.log_softmax(-1)
    close(camera[:, frames[-2:]], check[f"{name}.camera_logprob"], LOGPROB)
    check_argmax(out.camera_logits, check[f"{name}.camera_argmax"])
    check_argmax(out.buttons_logits, check[f"{name}.buttons_argmax"])
    top = torch.from_numpy(check[f"{name}.buttons_top8"])
    close(
        out.buttons_logits.log_softmax(-1).gather(-1, top),
        check[f"{name}.buttons_top8_logprob"],
        LOGPROB,
    )


@pytest.mark.parametrize("name", ["step16", "long"])
def test_full_1x(golden: Path, name: str) -> None:
    recipe = json.loads((golden / "full_1x.json").read_text())
    with np.load(golden / "full_1x.npz") as stored:
        check = {k: stored[k] for k in stored.files}
    images = recipe_images(recipe)
    np.testing.assert_array_equal(
        images.reshape(*images.shape[:2], -1).sum(-1, dtype=np.int64), check["image_sum"]
    )
    policy = full_policy(golden, recipe, check)
    if name == "step16":
        first = np.zeros((1, 16), dtype=bool)
        for row, frame in recipe["reset_at"]:
            first[row, frame] = True
        # Single steps by the published code; one chunk with a reset inside by ours.
        out, _ = run_chunks(policy, images[:, :16], first, [16])
        check_full(out, check, name)
        return
    out, state = run_chunks(policy, images, np.zeros((1, 150), dtype=bool), recipe["long_chunks"])
    check_full(out, check, name)
    for j in range(4):
        assert state.mask.sum() == check[f"long.final.{j}.mask_sum"].sum()
        for which, ours in (("k", state.keys[j]), ("v", state.values[j])):
            want = check[f"long.final.{j}.{which}_sum_over_time"]
            close(ours.sum(1) / 128, want / 128, MEMORY)


def test_frames_are_resized_exactly(golden: Path) -> None:
    with np.load(golden / "frames.npz") as stored:
        for name in ("noise", "smooth"):
            np.testing.assert_array_equal(resize_frame(stored[name]), stored[f"{name}_128"])
        both = resize_frames(np.stack([stored["noise"], stored["smooth"]]))
        np.testing.assert_array_equal(both[1], stored["smooth_128"])
