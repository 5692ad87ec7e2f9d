"""Patching does what it says, estimates are exact where they should be, and what they miss is bounded."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from basalt.cli import main as cli
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.points import patch
from basalt.probes.patching.attention_fix import key_fix, query_fix
from basalt.probes.patching.attribution import METHODS, estimate
from basalt.probes.patching.contexts import KINDS as PAIR_KINDS
from basalt.probes.patching.contexts import make_contexts
from basalt.probes.patching.exact import Pairs, effects_of_nodes, effects_of_sets
from basalt.probes.patching.metrics import METRICS, find_metric
from basalt.probes.patching.nodes import KINDS, Dictionary, NodeSpace
from basalt.probes.patching.probe import PatchReport, find_nodes
from basalt.probes.patching.search import search_blocks, search_tree
from basalt.probes.patching.verification import (
    missed_bounds,
    random_sets,
    relative_cost,
    search_cost,
    t_quantile,
)
from basalt.probes.patching.window import Windows
from basalt.probes.sae.files import SAEInfo, save_sae
from basalt.probes.sae.model import SAE
from basalt.probes.settings import PatchConfig
from basalt.probes.suite.concepts import column_auc
from benchmarks.planted_circuit import FRAMES, LIGHT, UNIT, Planted, planted_policy
from tests.support.tiny_policy import TINY

T = 6
ALL = tuple(kind for kind in KINDS if kind != "latent")
"""Kinds of nodes that every policy has."""


def tiny(seed: int = 3) -> VPTPolicy:
    torch.manual_seed(seed)
    policy = VPTPolicy(TINY).eval().requires_grad_(False)
    policy.esc_head.linear.weight.normal_()
    return policy


def esc(output: PolicyOutput, _pair: Tensor) -> Tensor:
    return output.esc_logit[:, 0]


def random_pairs(
    policy: VPTPolicy,
    kinds: tuple[str, ...] = ALL,
    *,
    by_frame: bool = True,
    apart: float = 1.0,
) -> Pairs:
    """Random windows; `apart` 0 would make those of a pair equal."""
    clean, noise = torch.randn(2, 3, T, 32, generator=torch.Generator().manual_seed(1))
    space = NodeSpace(policy, T, kinds, by_frame=by_frame)
    return Pairs.of(Windows(policy, esc, T), space, clean, torch.lerp(clean, noise, apart))


def test_each_node_has_its_own_units() -> None:
    space = NodeSpace(tiny(), T, ALL)
    assert len({str(node) for node in space.nodes}) == len(space)
    assert len(space) == T * (1 + 2 * (6 * 2 + 2))
    single = NodeSpace(tiny(), T, [kind for kind in ALL if kind != "memory"])
    for n in range(len(single)):
        masks = single.masks(torch.arange(len(single))[None] == n)
        values = {(s.block, s.kind): masks[s.name].float() for s in single.sites}
        assert torch.nonzero(single.gather(values)[0]).tolist() == [[n]]
    whole = NodeSpace(tiny(), T, ("z", "mlp"), by_frame=False)
    assert [str(node) for node in whole.nodes[:3]] == [
        "blocks.0.z.0",
        "blocks.0.z.1",
        "blocks.0.mlp",
    ]
    assert whole.masks(torch.ones(1, 6, dtype=torch.bool))["blocks.1.attn_z"].all()
    with pytest.raises(ConfigError, match=r"unknown kind 'mpl'; did you mean 'mlp'"):
        NodeSpace(tiny(), T, ["mpl"])


def test_a_window_is_what_the_policy_makes_of_it_from_an_empty_memory() -> None:
    policy, x = tiny(), torch.randn(2, T, 32)
    whole = policy(x, torch.arange(T).expand(2, T) == 0, policy.initial_state(2), "encoded")
    for name in ("forward", "ESC", "camera.yaw"):
        metric = find_metric(name)
        last = PolicyOutput(*(field[:, -1:] for field in whole[:-1]), whole.state)
        got = Windows(policy, metric, T).run(x)
        torch.testing.assert_close(got, metric(last, torch.arange(2)), rtol=0, atol=1e-5)


def test_effects_are_those_of_a_plain_replacement() -> None:
    policy = tiny()
    pairs = random_pairs(policy)
    effects = effects_of_nodes(pairs, range(len(pairs.space)))
    for n, node in enumerate(pairs.space.nodes):
        if node.kind != "z" or node.age != 2:
            continue
        noise = pairs.noise.activations[f"blocks.{node.block}.attn_z"]
        size = 32 // TINY.attention_heads
        part = slice(node.head * size, (node.head + 1) * size)

        def replaced(x: Tensor, noise: Tensor = noise, part: slice = part) -> Tensor:
            x = x.clone()
            x[:, T - 3, part] = noise[:, T - 3, part]
            return x

        with patch(policy, f"blocks.{node.block}.attn_z", replaced):
            wanted = pairs.windows.run(pairs.inputs) - pairs.clean.metric
        torch.testing.assert_close(effects[:, n], wanted, rtol=0, atol=1e-5)
        assert (wanted.abs().max() > 1e-5) == (node.block == 0)  # no later frame reads block 1's


def test_all_inputs_replaced_are_the_other_run_and_nothing_replaced_is_this_one() -> None:
    pairs = random_pairs(tiny())
    embed = torch.tensor([node.kind == "embed" for node in pairs.space.nodes])
    effects = effects_of_sets(pairs, torch.stack([embed, embed & False]))
    torch.testing.assert_close(effects[:, 0], pairs.change, rtol=0, atol=1e-5)
    assert effects[:, 1].abs().max() < 1e-6
    last = [n for n, node in enumerate(pairs.space.nodes) if str(node) == "blocks.1.resid@-0"]
    torch.testing.assert_close(effects_of_nodes(pairs, last)[:, 0], pairs.change, rtol=0, atol=1e-5)


def exact_sae(policy: VPTPolicy, name: str) -> Dictionary:
    """An autoencoder that rebuilds everything: each direction of an orthonormal basis both ways."""
    basis = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(4))).Q
    sae = SAE(32, 64)
    sae.W_dec.data = torch.cat([basis, -basis])
    sae.W_enc.data = sae.W_dec.data.T.clone()
    return Dictionary(name, sae)


def test_a_latent_is_patched_alone_and_all_of_them_are_the_activation() -> None:
    policy = tiny()
    clean, noise = torch.randn(2, 3, T, 32, generator=torch.Generator().manual_seed(1))
    windows = Windows(policy, esc, T)
    dictionary = exact_sae(policy, "blocks.0.resid_post")
    space = NodeSpace(policy, T, ["latent", "mlp"], dictionary=dictionary)
    pairs = Pairs.of(windows, space, clean, noise)
    names = [str(node) for node in space.nodes]
    assert len(names) == T * (64 + 2)
    n = names.index("blocks.0.latent.5@-2")
    before = pairs.clean.activations[dictionary.name]
    encode = dictionary.sae.encode
    moved = encode(pairs.noise.activations[dictionary.name]) - encode(before)
    change = torch.zeros_like(before)
    change[:, T - 3] = moved[:, T - 3, 5:6] * dictionary.sae.W_dec[5]
    with patch(policy, dictionary.name, lambda x: x + change):
        wanted = windows.run(clean) - pairs.clean.metric
    effect = effects_of_nodes(pairs, [n])[:, 0]
    torch.testing.assert_close(effect, wanted, rtol=0, atol=1e-5)
    assert wanted.abs().max() > 1e-4
    everything = torch.tensor([node.kind == "latent" for node in space.nodes])[None]
    whole = Pairs.of(windows, NodeSpace(policy, T, ["resid"]), clean, noise)
    first = torch.tensor([node.block == 0 for node in whole.space.nodes])[None]
    torch.testing.assert_close(
        effects_of_sets(pairs, everything), effects_of_sets(whole, first), rtol=0, atol=1e-5
    )


def test_estimates_of_latents_are_exact_where_the_rest_is_linear() -> None:
    policy = linear_after_attention(tiny())
    clean, noise = torch.randn(2, 3, T, 32, generator=torch.Generator().manual_seed(1))
    for name in ("blocks.1.resid_mid", "blocks.1.resid_post"):
        space = NodeSpace(policy, T, ["latent"], dictionary=exact_sae(policy, name))
        pairs = Pairs.of(Windows(policy, esc, T), space, clean, noise)
        truth = effects_of_nodes(pairs, range(len(space))).abs()
        for method in ("atp", "atp_qk"):
            got = estimate(pairs, method).scores
            torch.testing.assert_close(got, truth, rtol=1e-3, atol=1e-5)
        assert truth.max() > 1e-3
        assert estimate(pairs, "atp_star").scores.shape == truth.shape


def test_latents_need_an_autoencoder_of_a_block_and_no_second_node_there() -> None:
    policy = tiny()
    with pytest.raises(ConfigError, match=r"expected `latent` and sae=.* together"):
        NodeSpace(policy, T, ["latent"])
    with pytest.raises(ConfigError, match=r"resid_post of a block, got one of lastlayer"):
        NodeSpace(policy, T, ["latent"], dictionary=exact_sae(policy, "lastlayer"))
    with pytest.raises(ConfigError, match=r"the latents of blocks\.1\.mlp_out or the whole of it"):
        NodeSpace(policy, T, ["latent", "mlp"], dictionary=exact_sae(policy, "blocks.1.mlp_out"))


def linear_after_attention(policy: VPTPolicy) -> VPTPolicy:
    """What follows the last block's attention is linear up to the ESC logit."""
    policy.net.finish = lambda x: x  # type: ignore[method-assign]
    policy.net.recurrent_layer.blocks[1].mlp1.layer.weight.zero_()  # type: ignore[union-attr, operator]
    return policy


@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_estimates_are_exact_where_the_rest_is_linear(gain: float) -> None:
    """With a large gain, attention is saturated, and the plain gradient sees nothing."""
    policy = linear_after_attention(tiny())
    attention = policy.net.recurrent_layer.blocks[1].r.orc_block  # type: ignore[union-attr]
    attention.q_layer.weight.mul_(gain)  # type: ignore[operator]
    attention.k_layer.weight.mul_(gain)  # type: ignore[operator]
    pairs = random_pairs(policy)
    mine = [n for n, node in enumerate(pairs.space.nodes) if node.block == 1]
    truth = effects_of_nodes(pairs, mine).abs()
    fixed, plain = (estimate(pairs, method).scores[:, mine] for method in ("atp_qk", "atp"))
    torch.testing.assert_close(fixed, truth, rtol=1e-3, atol=1e-5)
    kinds = np.array([pairs.space.nodes[n].kind for n in mine])
    for kind in ("v", "z", "mlp", "resid"):
        torch.testing.assert_close(
            plain[:, kinds == kind], truth[:, kinds == kind], rtol=1e-3, atol=1e-5
        )
    assert truth[:, kinds == "k"].max() > 1e-3
    if gain > 1:
        missed = (plain - truth)[:, np.isin(kinds, ["q", "k"])].abs().max()
        assert missed > 0.5 * truth[:, np.isin(kinds, ["q", "k"])].max()


def test_the_fix_of_queries_and_keys_is_the_weights_recomputed() -> None:
    """A saturated query, keys of norm 8 in 16 dimensions: the closed form is the softmax with one key changed."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(6, 16, generator=generator).double()
    keys = 8 * keys / keys.norm(dim=1, keepdim=True)
    gradient = torch.randn(1, 6, generator=generator).double()
    query, other = keys[:1], keys[3:4]
    before = query @ keys.T / 4
    assert before.softmax(-1).max() > 0.999
    moved = query_fix(before, other @ keys.T / 4, gradient)
    truth = ((other @ keys.T / 4).softmax(-1) - before.softmax(-1)) @ gradient.T
    assert moved.item() == pytest.approx(truth.item()) and abs(truth.item()) > 0.1
    noise = keys.roll(1, 0)
    fix = key_fix(before, query @ noise.T / 4, gradient)
    for t in range(6):
        changed = keys.clone()
        changed[t] = noise[t]
        weights = (query @ changed.T / 4).softmax(-1)
        truth = (weights - before.softmax(-1)) @ gradient.T
        assert fix.effect[0, t].item() == pytest.approx(truth.item(), abs=1e-12)
        assert fix.weight[0, t].item() == pytest.approx(weights[0, t].item())
    alone = key_fix(*torch.ones(3, 1, 1, 1).double())
    assert alone.effect.item() == 0 and alone.weight.item() == 1


class Plus(nn.Module):
    """An MLP that adds a function of the stream."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_graddrop_finds_a_node_whose_effects_cancel_at_the_clean_run() -> None:
    """r = n; the first MLP adds -sin(r), which cancels n to first order; the second adds 0.1 r; n from 0 to 2.5."""
    policy = tiny()
    policy.net.finish = lambda x: x  # type: ignore[method-assign]
    for block, function in zip(
        policy.net.recurrent_layer.blocks, (lambda x: -x.sin(), lambda x: 0.1 * x), strict=True
    ):
        block.pre_r_ln = block.mlp0 = nn.Identity()
        block.r.orc_block.proj_layer.weight.zero_()  # type: ignore[union-attr, operator]
        block.mlp1 = Plus(function)
    clean = torch.zeros(1, T, 32)
    noise = clean.clone()
    noise[0, -1, 0] = 2.5
    windows = Windows(policy, lambda output, _: output.latent[:, 0, 0], T)
    pairs = Pairs.of(windows, NodeSpace(policy, T, ["embed"]), clean, noise)
    assert str(pairs.space.nodes[0]) == "embed@-0"
    assert effects_of_nodes(pairs, [0]).item() == pytest.approx(1.1 * (2.5 - np.sin(2.5)))
    assert estimate(pairs, "atp").scores[0, 0].item() == pytest.approx(0, abs=1e-6)
    # 2.75 without the first MLP, nothing without any other of the four layers.
    assert estimate(pairs, "atp_star").scores[0, 0].item() == pytest.approx(2.75 / 4)


def test_integrated_gradients_of_all_inputs_add_up_to_the_change() -> None:
    pairs = random_pairs(tiny(), ("embed",), by_frame=False, apart=0.05)
    got = estimate(pairs, "ig").scores[:, 0]
    torch.testing.assert_close(got, pairs.change.abs(), rtol=0, atol=0.01)


def test_the_cost_of_an_order_is_that_of_finding_the_largest() -> None:
    effects = np.array([5, 4, 3, 2, 1, 0.5, 0.1, 0, 0, 0])
    assert relative_cost(range(10), effects) == pytest.approx(1.0)
    assert relative_cost([*range(1, 10), 0], effects) == pytest.approx(3.99, abs=0.005)
    assert relative_cost(range(10), effects, passes=4) > 1.5


def test_searches_find_every_node_and_a_tree_finds_few_large_ones_early() -> None:
    effects = np.zeros(81)
    effects[[10, 11, 70]] = 5.0, 4.0, 3.0
    patched: list[list[int]] = []

    def measure(parts: Sequence[Sequence[int]]) -> np.ndarray:
        patched.extend(list(part) for part in parts)
        return np.array([effects[list(part)].sum() for part in parts])

    blocks = search_blocks(81, 9, measure)
    # Nine blocks, then that of 10 and 11, of which they are the second and third node, then that of 70.
    assert [blocks[n] for n in (10, 11, 70)] == [9 + 2, 9 + 3, 9 + 9 + 8]
    assert sorted(blocks) == list(range(10, 91)) and len(patched) == 9
    patched.clear()
    tree = search_tree(81, 3, measure)
    alone = {part[0]: at for at, part in enumerate(patched, start=1) if len(part) == 1}
    assert [alone[n] for n in range(81)] == tree.tolist() and len(patched) == 3 + 9 + 27 + 81
    assert max(tree[n] for n in (10, 11, 70)) <= 24
    assert search_cost(tree, effects) < search_cost(np.arange(1.0, 82), effects)
    assert sorted(search_tree(5, 3, lambda parts: np.zeros(len(parts)))) == [2, 4, 5, 6, 7]


def test_quantiles_of_student() -> None:
    for freedom, wanted in ((5, 3.3649), (10, 2.7638), (30, 2.4573), (np.inf, 2.3263)):
        got = t_quantile(0.99, np.array([float(freedom)]))[0]
        assert got == pytest.approx(wanted, rel=5e-3)


def additive(seed: int, n_sets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True effects, effects of sets [1, n] and sets of 200 nodes that add up; node 7 was missed."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 0.01, 200)
    true[7] = 1.0
    sets = random_sets(n_sets, range(200), 200, 0.5, seed).numpy()
    return true, (sets @ true + rng.normal(0, 0.02, n_sets))[None], sets


def test_the_bound_points_at_what_was_missed_and_shrinks_with_more_sets() -> None:
    widths = []
    for n_sets in (32, 128, 512):
        _, effects, sets = additive(1, n_sets)
        bounds = missed_bounds(effects, sets, 0.99)
        assert bounds.argmax() == 7 and 1 <= bounds[7] < 1.2
        widths.append(np.delete(bounds, 7).max())
    assert widths[0] > widths[1] > widths[2] and widths[2] < 0.3
    # Without the missed node, its variance no longer widens the bounds of the others.
    _, effects, sets = additive(1, 128)
    rest = missed_bounds(effects - sets[:, 7], sets, 0.99)
    assert np.delete(rest, 7).max() < 0.2
    assert np.isnan(missed_bounds(effects, sets & False, 0.99)).all()


def test_the_bound_holds_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(300):
        true, effects, sets = additive(seed, 64)
        covered += missed_bounds(effects, sets, 0.99)[7] >= true[7]
    assert covered >= 0.97 * 300


@pytest.fixture(scope="module")
def planted() -> Planted:
    return planted_policy()


def planted_pairs(
    planted: Planted, metric: str, kinds: tuple[str, ...] = ALL, count: int = 8
) -> Pairs:
    space = NodeSpace(planted.policy, FRAMES, kinds)
    windows = Windows(planted.policy, find_metric(metric), FRAMES)
    return Pairs.of(windows, space, planted.inputs(count, 1), planted.inputs(count, 2))


def test_the_planted_policy_walks_in_the_light(planted: Planted) -> None:
    x = planted.inputs(64, 5)
    odds = Windows(planted.policy, find_metric("forward"), FRAMES).run(x)
    hurry = x[:, -1, LIGHT + 1] > 0
    light = torch.where(hurry, x[:, FRAMES - 2, LIGHT], x[:, FRAMES - 4, LIGHT]) / UNIT
    assert odds[light > 0].min() > odds[light < 0].max() + 1


def test_every_method_is_scored_on_the_planted_circuit(planted: Planted) -> None:
    pairs = planted_pairs(planted, "camera.yaw", count=16)
    true = planted.true_nodes(pairs.space, "camera.yaw")
    effects = effects_of_nodes(pairs, range(len(pairs.space))).abs().mean(0)
    assert effects[true].min() > 2 * effects[~true].max()
    areas = {
        method: column_auc(estimate(pairs, method).scores.mean(0).numpy(), true.numpy())
        for method in METHODS
    }
    assert areas["ig"] > 0.98
    assert areas["atp_qk"] >= areas["atp"] > 0.85
    assert areas["atp_star"] > 0.85
    chance = column_auc(np.random.default_rng(0).random(len(true)), true.numpy())
    assert chance < 0.7


def test_the_report_says_what_was_patched_and_what_may_be_missed(planted: Planted) -> None:
    pairs = planted_pairs(planted, "forward", ("v", "r", "z", "mlp"))
    nodes = zip(pairs.space.nodes, planted.true_nodes(pairs.space, "forward"), strict=True)
    true = {str(node) for node, is_true in nodes if is_true}
    cfg = PatchConfig("", "", metric="forward", verify=8, sets=64, share=0.3)
    report = find_nodes(pairs, np.arange(8) // 2, cfg)
    assert {node.name for node in report.nodes[:5]} == true
    assert all(node.effect is not None for node in report.nodes[:8])
    assert all(node.effect is None for node in report.nodes[8:])
    assert report.random_effect is not None and report.random_effect < 0.2
    assert report.episodes == 4 and report.change.interval is not None
    whole = find_nodes(pairs, np.arange(8), PatchConfig("", "", method="exhaustive"))
    assert {node.name for node in whole.nodes[:5]} == true
    assert whole.missed_bound is None
    found = {node.name for node in report.nodes[:8]}
    missed = max(
        node.effect.value or 0 for node in whole.nodes if node.effect and node.name not in found
    )
    assert report.missed_bound is not None and report.missed_bound >= missed
    text = "\n".join(report.lines())
    assert "none has more than" in text and "random nodes instead" in text
    assert PatchReport.from_json(report.to_json(), "x") == report


def test_pairs_of_windows_differ_as_asked(policy: VPTPolicy, episodes: list[Episode]) -> None:
    found = {kind: make_contexts(policy, episodes, kind, 10, 8) for kind in PAIR_KINDS}
    for kind, contexts in found.items():
        assert contexts.clean.shape == contexts.noise.shape == (10, 8, 32)
        torch.testing.assert_close(contexts.clean, found["other"].clean)
        assert not torch.allclose(contexts.clean, contexts.noise), kind
        assert sorted(set(contexts.episode.tolist())) == list(range(8))
    images = torch.from_numpy(episodes[0].read())[None]
    first = torch.arange(len(episodes[0]))[None] == 0
    stacks, _ = policy.net.stack(images, first, policy.initial_state(1))
    encoded = policy.net.encode_frames(stacks)[0]
    clean, noise = (windows[0] for windows in (found["earlier"].clean, found["earlier"].noise))
    assert any(
        torch.allclose(encoded[end - 7 : end + 1], clean, atol=1e-4)
        and torch.allclose(encoded[end - 27 : end - 19], noise, atol=1e-4)
        for end in range(27, len(encoded))
    )
    with pytest.raises(ConfigError, match=r"at least 2 held-out episode\(s\) of 60 frames or more"):
        make_contexts(policy, episodes, "other", 2, 40)
    with pytest.raises(ConfigError, match=r"pairs: expected one of other .*, got 'twin'"):
        make_contexts(policy, episodes, "twin", 2, 8)


def test_the_metric_of_an_action_is_its_log_probability(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    contexts = make_contexts(policy, episodes, "other", 4, 8)
    x = contexts.clean
    output = Windows(policy, esc, 8).output(x)
    got = find_metric("action", contexts.actions)(output, torch.arange(4))
    buttons = output.buttons_logits[:, 0].log_softmax(-1)
    assert (got < 0).all()
    assert (got <= buttons[torch.arange(4), torch.from_numpy(contexts.actions.buttons)]).all()
    with pytest.raises(ConfigError, match=r"unknown metric 'forwards'; did you mean 'forward'"):
        find_metric("forwards")
    assert len(METRICS) == 24


def test_the_command_runs_it(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", "device=cpu"]
    quick = [
        "frames=6",
        "count=4",
        "verify=3",
        "sets=64",
        "metric=attack",
        f"out={tmp_path}/r.json",
    ]
    assert cli.run(["probe", "patch", *arguments, *quick]) == 0
    assert "random nodes instead" in capsys.readouterr().out
    assert PatchReport.read(tmp_path / "r.json").n_pairs == 4
    dictionary = exact_sae(tiny(), "blocks.1.mlp_out")
    save_sae(tmp_path / "sae", dictionary.sae, SAEInfo(hook_point=dictionary.name))
    latents = ["nodes=[latent]", f"sae={tmp_path}/sae", "method=atp"]
    assert cli.run(["probe", "patch", *arguments, *quick, *latents]) == 0
    report = PatchReport.read(tmp_path / "r.json")
    assert report.n_nodes == 6 * 64 and report.nodes[0].kind == "latent"
    assert cli.run(["probe", "patch", *arguments, "frames=6", "method=atp2"]) == 1
    assert "expected exhaustive, atp, atp_qk, atp_star, ig, got 'atp2'" in capsys.readouterr().err
