"""The suite measures what it says, resumes where it stopped, and its controls are controls."""

import json
import platform
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.data import sources
from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.episodes import Episode, load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import save_checkpoint
from basalt.policies.imitation import encode_episodes, evaluate
from basalt.policies.vpt import VPTPolicy
from basalt.probes import subject as subject_module
from basalt.probes.hooks.activations import collect
from basalt.probes.hooks.patching import MEASURES as PATCHED
from basalt.probes.hooks.patching import Variant, bernoulli_kl, constant, run_patched
from basalt.probes.hooks.points import patch
from basalt.probes.hooks.store import ActivationStore, write_store
from basalt.probes.records import (
    Estimate,
    HookPointResult,
    LatentTable,
    SAEResult,
    StoreSettings,
    SuiteReport,
    SuiteSettings,
)
from basalt.probes.sae.config import ARCHITECTURES
from basalt.probes.sae.files import load_sae
from basalt.probes.sae.model import SAE
from basalt.probes.settings import SuiteConfig
from basalt.probes.smoke_record import SmokeReport
from basalt.probes.steering import RolloutComparison, Steering, SteeringReport, change_of_choices
from basalt.probes.subject import load_subject
from basalt.probes.suite import effects, evaluation
from basalt.probes.suite.concepts import CONCEPTS, auc, column_auc, fit_linear, ranks
from basalt.probes.suite.effects import MEASURES, latent_effects, measures
from basalt.probes.suite.latents import describe_latents
from basalt.probes.suite.metrics import principal_components, principal_unexplained, reconstruction
from basalt.probes.suite.report import model_card
from basalt.probes.suite.run import run_suite
from tests.support.synthetic import write_episodes

VERSION_1 = Path(__file__).parents[3] / "golden" / "probes-version-1"
"""Results as commit 548b757 wrote them."""


def settings(run: Path, folder: Path, out: Path, **changes: object) -> SuiteConfig:
    quick = {
        "sites": ["embed", "lastlayer"], "architectures": ["jumprelu", "topk"], "widths": [16],
        "l0": [4], "steps": 12, "batch": 32, "device": "cpu", "eval_frames": 100, "effect_frames": 64,
    }  # fmt: skip
    return SuiteConfig(checkpoint=str(run), data=str(folder), out=str(out), **(quick | changes))


@pytest.fixture(scope="module")
def suite(run: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scope")
    run_suite(settings(run, folder, out))
    return out


def test_the_suite_measures_all_its_autoencoders(suite: Path) -> None:
    report = SuiteReport.read(suite / "report.json")
    assert report.label.startswith("smoke test")
    assert {(r.hook_point, r.name) for r in report.saes} == {
        (hook_point, name)
        for hook_point in ("embed", "lastlayer")
        for name in ("jumprelu-w16-l04", "topk-w16-l04")
    }
    for row in report.saes:
        assert row.kl_buttons.value is not None
        assert row.kl_buttons.value >= 0
        assert row.l0.value is not None
        assert row.l0.value <= 16
        assert sum(row.density_histogram) == pytest.approx(16 * (1 - row.dead_share), abs=16)
        assert {c.concept for c in row.concepts} == {"in_cave", "looking_down"}
        folder = suite / "saes" / row.hook_point / row.name
        assert load_sae(folder)[1].hook_point == row.hook_point
        assert len(LatentTable.read(folder / "latents.json").latents) == 16
        assert np.load(folder / "effects.npy").shape == (16, len(MEASURES)) == (16, 142)
    for point in report.hook_points.values():
        assert point.zero.loss_change.value != 0
        assert "the world does not report it" in point.concepts_left_out["animal_in_view"]
        assert {r.concept for r in point.random_network_sae} == {"in_cave", "looking_down"}
    card = (suite / "README.md").read_text()
    assert "smoke test" in card
    assert "| lastlayer | topk-w16-l04 |" in card


def test_the_same_command_does_nothing_twice_and_more_adds(
    suite: Path, run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {p: p.stat().st_mtime_ns for p in suite.glob("saes/*/*/sae_weights.safetensors")}
    run_suite(settings(run, folder, suite))
    assert files == {
        p: p.stat().st_mtime_ns for p in suite.glob("saes/*/*/sae_weights.safetensors")
    }
    report = run_suite(settings(run, folder, suite, sites=["embed"], l0=[4, 6]))
    names = {r.name for r in report.saes if r.hook_point == "embed"}
    assert names == {f"{a}-w16-l0{k}" for a in ("jumprelu", "topk") for k in (4, 6)}
    assert all(p.stat().st_mtime_ns == at for p, at in files.items())


def test_an_interrupted_suite_is_resumed(
    run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    cfg = settings(run, folder, tmp_path / "out", sites=["latent"])
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "latent_effects", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_suite(cfg)
    assert not list(tmp_path.glob("out/saes/*/*/metrics.json"))
    trained = {p: p.stat().st_mtime_ns for p in tmp_path.glob("out/saes/*/*/*.safetensors")}
    assert len(trained) == 3
    site = tmp_path / "out" / "saes" / "latent"
    # As a killed process leaves it just before it is renamed; Linux has at most 2**22 processes.
    killed = site / f".topk-w16-l04.{platform.node()}-{2**22 + 1}.partial"
    shutil.copytree(site / "topk-w16-l04", killed)
    report = run_suite(cfg)
    assert len(report.saes) == 2
    assert not killed.exists()
    assert all(p.stat().st_mtime_ns == at for p, at in trained.items())


def test_a_lost_result_is_measured_again(run: Path, folder: Path, tmp_path: Path) -> None:
    cfg = settings(run, folder, tmp_path, sites=["lastlayer"], architectures=["topk"])
    before = run_suite(cfg)
    (tmp_path / "saes" / "lastlayer" / "site.json").unlink()
    assert run_suite(cfg).hook_points == before.hook_points


def test_a_suite_of_something_else_is_refused(
    suite: Path, run: Path, folder: Path, policy: VPTPolicy, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="this suite was made with steps=12, not steps=13"):
        run_suite(settings(run, folder, suite, steps=13))
    other = VPTPolicy(policy.config)
    info = json.loads(next(run.glob("checkpoints/*/checkpoint.json")).read_text())
    facts = {key: info[key] for key in ("task", "drop_null", "train_places")}
    save_checkpoint(tmp_path / "other", 1, other, {}, facts)
    with pytest.raises(ConfigError, match="made with fingerprint="):
        run_suite(settings(tmp_path / "other", folder, suite))
    with pytest.raises(ConfigError, match="did you mean 'lastlayer'"):
        run_suite(settings(run, folder, suite, sites=["lastlayr"]))
    with pytest.raises(ConfigError, match="record more, or set batch"):
        run_suite(settings(run, folder, tmp_path / "big", batch=4096))
    assert not (tmp_path / "big").exists()
    write_episodes(tmp_path / "few", range(100_000, 100_002), 10)
    with pytest.raises(ConfigError, match="others, got 2 and 0 in"):
        run_suite(settings(run, tmp_path / "few", tmp_path / "out"))


def test_settings_that_cannot_be_are_refused() -> None:
    plain = {"checkpoint": "run", "data": "sample", "out": "out"}
    for changes, message in (
        ({"architectures": ["topk", "gate"]}, "unknown architecture 'gate'"),
        ({"l0": [600]}, "between 1 and width=512"),
        ({"widths": []}, "widths: expected at least 1 value"),
        ({"eval_frames": 0}, "eval_frames: expected at least 1, got 0"),
        ({"l0": [0]}, "l0.0: expected a value above 0, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            SuiteConfig(**plain, **changes)  # type: ignore[arg-type]
    every = SuiteConfig(**plain, widths=(64, 128), l0=(4, 8)).trainings()
    assert len(every) == 4 * len(tuple(ARCHITECTURES))


def test_the_commands(
    run: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["probe", "sites", f"checkpoint={run}", "device=cpu"]) == 0
    text = capsys.readouterr().out
    assert "blocks.1.resid_post" in text
    assert text.splitlines()[1].split() == ["embed", "32"]
    arguments = [f"checkpoint={run}", "data=folder", f"data.source={folder}", f"out={tmp_path}/s"]
    quick = ["sites=[latent]", "architectures=[gated]", "widths=[16]", "l0=[4]", "steps=5"]
    small = ["batch=16", "device=cpu", "eval_frames=40", "effect_frames=10"]
    assert cli.run(["probe", "scope", *arguments, *quick, *small]) == 0
    assert "| latent | gated-w16-l04 |" in capsys.readouterr().out
    assert cli.run(["probe", "scope", *arguments, "with=[3]"]) == 1
    assert "with" in capsys.readouterr().err


def test_an_identity_recovers_all_and_zeros_are_zero_ablation(
    policy: VPTPolicy, self_labelled: list[Episode]
) -> None:
    encoded = encode_episodes(policy, self_labelled)
    perfect, zero = SAE(32, 64), SAE(32, 64)
    perfect.W_dec.copy_(torch.cat([torch.eye(32), -torch.eye(32)]))
    perfect.W_enc.copy_(perfect.W_dec.T)
    mean = collect(policy, encoded, ["lastlayer"]).values["lastlayer"].mean(0)
    run = run_patched(
        policy,
        encoded,
        {
            "itself": Variant("lastlayer", lambda x: x),
            "perfect": Variant("lastlayer", perfect),
            "nothing": Variant("lastlayer", zero),
            "zero": Variant("lastlayer", torch.zeros_like),
            "mean": Variant("lastlayer", constant(mean)),
            "elsewhere": Variant("embed", torch.zeros_like),
        },
        seq_len=9,
    )
    itself = run.metrics("itself")
    assert itself.loss_change.value == itself.kl_buttons.value == itself.kl_esc.value == 0
    assert itself.agreement.value == 1
    assert run.loss_recovered("itself", "zero") == Estimate(value=1.0, interval=(1.0, 1.0))
    assert run.metrics("perfect").kl_buttons.value == pytest.approx(0, abs=1e-6)
    assert np.array_equal(run.sums["nothing"], run.sums["zero"])
    for name, replacement in (("zero", torch.zeros_like), ("mean", constant(mean))):
        with patch(policy, "lastlayer", replacement):
            alone = evaluate(policy, self_labelled)["loss"]
        assert run.metrics(name).loss.value == pytest.approx(alone, abs=1e-4)
    elsewhere = run.metrics("elsewhere").loss_change.value
    assert elsewhere is not None
    assert elsewhere > 0
    assert run.clean_loss == pytest.approx(evaluate(policy, self_labelled)["loss"], abs=1e-4)


def test_distance_of_two_coins() -> None:
    p, q = torch.tensor(0.3), torch.tensor(0.8)
    expected = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(bernoulli_kl(p.logit(), q.logit()), expected)


def test_auc_is_the_chance_of_the_right_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, (60, 3)).astype(np.float32)  # many ties
    flags = rng.random((60, 2)) < 0.4
    got = auc(ranks(torch.from_numpy(values)), torch.from_numpy(flags))
    for c in range(2):
        for m in range(3):
            on, off = values[flags[:, c], m], values[~flags[:, c], m]
            above = (on[:, None] > off).mean() + 0.5 * (on[:, None] == off).mean()
            assert float(got[c, m]) == pytest.approx(above, abs=1e-6)
            assert column_auc(values[:, m], flags[:, c]) == pytest.approx(above, abs=1e-6)
    assert np.isnan(column_auc(values[:, 0], np.ones(60, dtype=bool)))


def test_a_linear_probe_finds_what_is_linear() -> None:
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    flags = torch.stack([x[:, 2] + x[:, 5] > 0.3, x[:, 0] ** 2 > 1], 1)
    scores = fit_linear(x[:400], flags[:400]).scores(x[400:])
    linear, square = (column_auc(scores[:, c].numpy(), flags[400:, c].numpy()) for c in range(2))
    assert linear > 0.99
    assert square < 0.7


def test_concepts_follow_telemetry(suite: Path) -> None:
    from basalt.probes.suite.concepts import concept_labels

    store = ActivationStore(suite / "activations")
    rows = store.rows("training")
    labels = concept_labels(store.episodes, rows)
    assert np.array_equal(labels["in_cave"], rows.frame >= 15)
    assert np.array_equal(labels["looking_down"], rows.frame // 8 % 2 == 1)
    assert np.array_equal(labels["moving"], rows.frame % 10 == 9)
    assert set(labels) <= set(CONCEPTS)


def test_effects_before_a_linear_head_are_the_cost_of_ablating_a_latent(
    policy: VPTPolicy, episodes: list[Episode]
) -> None:
    encoded = encode_episodes(policy, episodes)
    sae = SAE(32, 40)
    generator = torch.Generator().manual_seed(1)
    sae.W_dec.copy_(0.001 * torch.randn(40, 32, generator=generator))
    sae.W_enc.copy_(torch.randn(32, 40, generator=generator))
    found = latent_effects(policy, encoded, {"a": ("latent", sae)}, frames=10**6)["a"]
    x = collect(policy, encoded, ["latent"]).values["latent"]
    latents = sae.encode(x)

    def output(values: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return measures(policy.heads(values, policy.initial_state(1)))

    for i in (3, 17):
        active = latents[:, i] > 0
        without = x - latents[:, [i]] * sae.W_dec[i]
        cost = (output(x) - output(without))[active].mean(0)
        torch.testing.assert_close(found[i], cost, rtol=0.05, atol=5e-5)


def test_moments_are_the_strongest_frames(suite: Path) -> None:
    store = ActivationStore(suite / "activations")
    sae, _ = load_sae(suite / "saes" / "lastlayer" / "topk-w16-l04")
    described = describe_latents(sae, store, "lastlayer")
    rows, codes = store.rows("held_out"), sae.encode(store.read("lastlayer", "held_out"))
    for latent, row in enumerate(described):
        column = codes[:, latent].numpy()
        assert row.density == pytest.approx((column > 0).mean())
        if not row.moments:
            continue
        best = row.moments[0]
        assert best.value == pytest.approx(column.max(), abs=1e-3)
        there = (rows.episode == best.episode) & (rows.frame == best.frame)
        assert column[there] == pytest.approx(column.max(), abs=1e-3)
        span = (rows.episode == best.episode) & (rows.frame >= best.start)
        np.testing.assert_allclose(column[span][: len(best.curve)], best.curve, atol=1e-3)
        assert sum(row.histogram) == (column > 0).sum()
        assert row.episodes == len(set(rows.episode[column > 0]))


def test_a_curve_counts_the_frames_that_the_policy_was_not_shown(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    every_second = [
        replace(e, kept=e.kept[::2], buttons=e.buttons[::2], camera=e.camera[::2], esc=e.esc[::2])
        for e in episodes
    ]
    splits = ["training"] + ["held_out"] * (len(episodes) - 1)
    store = write_store(tmp_path, policy, every_second, splits, ["embed"], checkpoint="")
    sae = SAE(32, 8)
    sae.W_enc.copy_(torch.randn(32, 8, generator=torch.Generator().manual_seed(2)))
    rows, codes = store.rows("held_out"), sae.encode(store.read("embed", "held_out")).numpy()
    moments = [
        (latent, moment)
        for latent, row in enumerate(describe_latents(sae, store, "embed"))
        for moment in (*row.moments, *row.examples)
    ]
    assert moments
    for latent, moment in moments:
        there = rows.episode == moment.episode
        shown = dict(zip(rows.frame[there].tolist(), codes[there, latent].tolist(), strict=True))
        span = range(moment.start, moment.start + len(moment.curve))
        assert moment.frame in span
        assert moment.curve == pytest.approx([shown.get(f, 0) for f in span], abs=1e-3)


def test_principal_axes_are_those_of_the_training_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([5.0, 3.0, 1.0, 0.1])
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q
    training, held_out = (torch.randn(n, 4, generator=generator) * size @ turn for n in (4000, 900))
    training, held_out = training + 7, held_out + 7
    components = principal_components(training, held_out)
    along = (held_out - training.mean(0)) @ turn.T
    torch.testing.assert_close(components.abs(), along.abs(), rtol=0.1, atol=0.4)
    for k in (1, 2, 4):
        share = float(along[:, k:].square().sum() / along.square().sum())
        episode = np.repeat(np.arange(9), 100)
        found = principal_unexplained(training, held_out, k, episode)
        assert found.value == pytest.approx(share, abs=0.01)
        assert found.interval is not None
        assert found.interval[0] <= found.value <= found.interval[1]


def test_results_of_an_older_version_open() -> None:
    suite, raw = VERSION_1 / "suite", json.loads((VERSION_1 / "suite" / "report.json").read_text())
    report = SuiteReport.read(suite / "report.json")
    assert report.config == SuiteSettings.read(suite / "config.json")
    (row,), (old,) = report.saes, raw["saes"]
    assert (row.hook_point, row.name) == (old["site"], old["name"]) == ("lastlayer", "topk-w8-l04")
    kl = Estimate(value=old["kl"], interval=tuple(old["kl_interval"]))
    assert (row.kl, row.training.target_l0) == (kl, 4)
    assert row.concepts[1].latent == old["concepts"][1]["latent"] == 6
    assert "| lastlayer | topk-w8-l04 |" in model_card(report)
    point = HookPointResult.read(suite / "saes" / "lastlayer" / "site.json")
    assert point.per_episode is not None
    assert set(point.per_episode.variants) == {"zero", "mean"}
    assert point.mean.loss_change.value == raw["sites"]["lastlayer"]["mean"]["loss_change"]
    folder = suite / "saes" / "lastlayer" / "topk-w8-l04"
    result = SAEResult.read(folder / "metrics.json")
    assert result.model_copy(update={"per_episode": None}) == row
    assert result.per_episode is not None
    assert set(result.per_episode.patched.variants) == {"topk-w8-l04"}
    latents = LatentTable.read(folder / "latents.json").latents
    assert latents[0].moments[0].curve
    assert load_sae(folder)[1].training == row.training
    store = StoreSettings.read(suite / "activations" / "store.json")
    assert store.episodes[0].split_group == "find_cave:100000"
    smoke = SmokeReport.read(VERSION_1 / "smoke" / "report.json")
    raw = json.loads((VERSION_1 / "smoke" / "report.json").read_text())
    assert smoke.trained.loss_change.value == raw["trained"]["bc_loss_change"]
    assert smoke.trained.loss_patched == raw["trained"]["loss_spliced"]
    measure = SteeringReport.read(VERSION_1 / "latent.json").measures[0]
    raw = json.loads((VERSION_1 / "latent.json").read_text())["measures"][0]
    change = Estimate(value=raw["change"], interval=tuple(raw["interval"]))
    assert (measure.name, measure.change) == ("inventory", change)
    readings = RolloutComparison.read(VERSION_1 / "steered.json").readings
    assert readings["steps"].difference == Estimate(value=-10, interval=(-10, -10))


@pytest.mark.parametrize(
    ("model", "file"),
    [
        (SuiteReport, "report.json"),
        (HookPointResult, "saes/embed/site.json"),
        (SAEResult, "saes/embed/topk-w16-l04/metrics.json"),
        (LatentTable, "saes/embed/topk-w16-l04/latents.json"),
        (StoreSettings, "activations/store.json"),
        (SuiteSettings, "config.json"),
    ],
)
def test_results_are_read_as_they_were_written(
    model: type[SuiteReport], file: str, suite: Path, tmp_path: Path
) -> None:
    record = model.read(suite / file)
    record.write(tmp_path / "again.json")
    content = json.loads((suite / file).read_text())
    assert json.loads((tmp_path / "again.json").read_text()) == content
    assert (content["format"], content["version"]) == (model.FORMAT, model.VERSION)


def test_an_incomplete_result_is_measured_again_or_left_out(
    run: Path, folder: Path, tmp_path: Path
) -> None:
    cfg = settings(run, folder, tmp_path, architectures=["topk"])
    before = run_suite(cfg)
    assert before.left_out == ()
    site = tmp_path / "saes" / "embed" / "site.json"
    sae = site.parent / "topk-w16-l04" / "metrics.json"
    for file, field in ((site, "principal_unexplained"), (sae, "kl")):
        row = json.loads(file.read_text())
        del row[field]
        file.write_text(json.dumps(row))
    # A job for another hook point reports what it can, and names the rest.
    other = run_suite(replace(cfg, sites=("lastlayer",)))
    assert set(other.hook_points) == {r.hook_point for r in other.saes} == {"lastlayer"}
    assert other.left_out == tuple(
        f"{file}: not a valid {model.FORMAT} file: {field}: Field required; to measure it again, run "
        "basalt probe scope with sites=[embed]"
        for file, field, model in (
            (site, "principal_unexplained", HookPointResult),
            (sae, "kl", SAEResult),
        )
    )
    line = f"Left out: {other.left_out[0]} (and 1 more, listed in report.json)"
    assert line in (tmp_path / "README.md").read_text()
    again = run_suite(cfg)
    assert again.left_out == ()
    assert (again.hook_points, again.saes) == (before.hook_points, before.saes)
    sae.write_text("{half")
    assert run_suite(cfg).saes == before.saes


def test_intervals_are_a_bootstrap_over_episodes(suite: Path) -> None:
    """Again, by another route, from the sums that are kept."""
    folder = suite / "saes" / "embed" / "topk-w16-l04"
    row = SAEResult.read(folder / "metrics.json")
    assert row.per_episode is not None
    patched, rebuilt = row.per_episode.patched, row.per_episode.reconstruction
    sums = np.array(patched.variants[folder.name])
    frames = np.array(patched.frames)
    picks = np.random.default_rng(0).integers(len(frames), size=(2000, len(frames)))
    for i, name in enumerate(PATCHED):
        estimate = getattr(row, name)
        assert estimate.value == pytest.approx(sums[:, i].sum() / frames.sum())
        draws = [sums[p, i].sum() / frames[p].sum() for p in picks]
        ends = np.quantile(draws, [0.025, 0.975])
        assert estimate.interval == pytest.approx(tuple(ends))
    heads = (row.kl_buttons, row.kl_camera, row.kl_esc)
    assert row.kl.value == pytest.approx(sum(kl.value or 0 for kl in heads))
    assert sum(frames) >= 100  # eval_frames
    store = ActivationStore(suite / "activations")
    episode = store.rows("held_out").episode
    assert list(rebuilt["rows"]) == np.unique(episode, return_counts=True)[1].tolist()
    codes = load_sae(folder)[0].encode(store.read("embed", "held_out"))
    for at, number in enumerate(np.unique(episode)):
        assert rebuilt["active"][at] == (codes[torch.from_numpy(episode == number)] > 0).sum()


def test_metrics_of_a_known_autoencoder_and_their_intervals() -> None:
    """It keeps the first axis of two; three equal episodes differ in their variance along it."""
    sae = SAE(2, 2)
    sae.W_dec.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    sae.W_enc.copy_(sae.W_dec.T)
    shares = torch.tensor([0.9, 0.8, 0.4])  # of each episode's variance
    corners = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    x = torch.cat([corners * torch.stack([s, 1 - s]).sqrt() for s in shares])
    metrics = reconstruction(sae, x, np.repeat([5, 7, 11], 4)).metrics()
    assert metrics.variance_explained.value == pytest.approx(0.7)
    # All three draws of one episode are 1 of 27, more than 2.5 %.
    assert metrics.variance_explained.interval == pytest.approx((0.4, 0.9))
    assert metrics.l0 == Estimate(value=1, interval=(1, 1))
    assert metrics.gamma.value == pytest.approx(1)
    assert metrics.dead_share == 0
    sae.W_dec.mul_(0.5)  # too short: x^ is half of what it keeps
    half = reconstruction(sae, x, np.repeat([0, 1, 2], 4)).metrics()
    assert half.gamma.value == pytest.approx(0.5)
    assert half.gamma.interval == pytest.approx((0.5, 0.5))
    assert half.variance_explained.value == pytest.approx(0.75 * 0.7)
    two = reconstruction(sae, x[:8], np.repeat([0, 1], 4)).metrics()
    assert two.variance_explained.interval is None


def test_measures_on_encoded_episodes_decode_nothing_and_hold_one_batch(
    policy: VPTPolicy, episodes: list[Episode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the held-out episodes are, the effects need the memory of a call."""
    encoded = encode_episodes(policy, episodes)
    alive: list[weakref.ref[Any]] = []
    most = 0

    def counted(*arguments: Any, **settings: Any) -> Iterator[Batch]:
        nonlocal most
        for batch in single_pass(*arguments, **settings):
            alive.append(weakref.ref(batch.inputs))
            most = max(most, sum(each() is not None for each in alive))
            yield batch

    def refuse(*_arguments: object) -> None:
        raise AssertionError("a frame was read")

    monkeypatch.setattr(effects, "single_pass", counted)
    monkeypatch.setattr(sources, "FrameReader", refuse)
    monkeypatch.setattr(sources, "decoded_frames", refuse)
    monkeypatch.setattr(sources.CacheSource, "open", refuse)
    sae = SAE(32, 40)
    long = [*encoded] * 4
    found = latent_effects(policy, long, {"a": ("embed", sae)}, frames=16)
    assert found["a"].shape == (40, len(MEASURES)) and len(alive) > 4
    assert most <= 2  # the batch in use, and the next one while it takes its place
    run_patched(policy, encoded, {"zero": Variant("embed", torch.zeros_like)})
    evaluate(policy, encoded)
    collect(policy, encoded, ["embed"])
    change_of_choices(policy, encoded, Steering("embed", sae, 0, 1.0))


def test_a_policy_is_probed_with_the_labels_it_was_trained_on(
    policy: VPTPolicy, episodes: list[Episode], folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[object] = []

    def spy(*arguments: Any, **settings: Any) -> list[Episode]:
        asked.append(settings["labels"])
        return load_episodes(*arguments, **settings)

    monkeypatch.setattr(subject_module, "load_episodes", spy)
    places = [e.split_group for e in episodes[:4]]
    facts = {"task": "find_cave", "drop_null": False, "train_places": places}
    for labels in ("original", "legacy", "mended", "corrected", None):
        run = tmp_path / str(labels)
        save_checkpoint(run, 1, policy, {}, facts | ({"labels": labels} if labels else {}))
        load_subject(run, folder, "cpu")
    assert asked == ["legacy", "legacy", "corrected", "corrected", "corrected"]
