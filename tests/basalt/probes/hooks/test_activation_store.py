"""An activation store holds what the policy saw, frame by frame, and survives what interrupts it."""

import platform
import shutil
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.imitation import encode_episodes
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import collect
from basalt.probes.hooks.store import ActivationStore, write_store
from tests.support.small_disk import on_a_small_disk

HOOK_POINTS = ["embed", "blocks.0.attn_z", "lastlayer"]
DEAD = 2**22 + 1
"""Number of a process that cannot exist: Linux has at most 2**22."""


def write(
    folder: Path, policy: VPTPolicy, episodes: list[Episode], **options: object
) -> ActivationStore:
    splits = ["training" if i % 4 else "held_out" for i in range(len(episodes))]
    settings = {"checkpoint": "abc", "shard_frames": 60} | options
    return write_store(folder, policy, episodes, splits, HOOK_POINTS, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_rows_are_the_activations_of_their_frames(
    dtype: str, tolerance: float, policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    store = write(tmp_path / "store", policy, episodes, dtype=dtype)
    assert len(list((tmp_path / "store").glob("shard-*"))) > 3
    encoded = encode_episodes(policy, episodes)
    for name in HOOK_POINTS:
        truth = collect(policy, encoded, [name])
        names = [e.name for e in episodes]
        for split in ("training", "held_out"):
            rows, values = store.rows(split), store.read(name, split)
            assert len(values) == store.count(split) == len(rows.frame)
            for row in (0, len(values) // 2, len(values) - 1):
                episode = names.index(store.episodes[rows.episode[row]].name)
                same = (truth.episode == episode) & (truth.frame == rows.frame[row])
                (expected,) = truth.values[name][torch.from_numpy(same)]
                torch.testing.assert_close(values[row], expected, rtol=tolerance, atol=tolerance)
    training = store.read("lastlayer", "training")
    assert store.scale("lastlayer") == pytest.approx(
        float(training.square().sum(1).mean().sqrt()), rel=1e-2
    )
    torch.testing.assert_close(store.mean("lastlayer"), training.mean(0), rtol=0.05, atol=0.01)


def test_splits_do_not_mix(policy: VPTPolicy, episodes: list[Episode], tmp_path: Path) -> None:
    store = write(tmp_path / "store", policy, episodes)
    for split in ("training", "held_out"):
        assert {store.episodes[i].split for i in store.rows(split).episode} == {split}
    assert store.count("training") + store.count("held_out") == sum(map(len, episodes))


def test_a_pass_over_shuffled_batches_takes_every_row_once(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    store = write(tmp_path / "store", policy, episodes)
    n = store.count("training")
    batches = list(islice(store.batches("embed", "training", 10, bucket=64), n // 10))
    rows = Counter(tuple(row.tolist()) for batch in batches for row in batch)
    everything = Counter(tuple(row.tolist()) for row in store.read("embed", "training"))
    assert all(rows[key] <= everything[key] for key in rows)
    again = next(store.batches("embed", "training", 10, bucket=64))
    other = next(store.batches("embed", "training", 10, bucket=64, seed=1))
    assert torch.equal(batches[0], again)
    assert not torch.equal(batches[0], other)
    with pytest.raises(ConfigError, match="record more"):
        next(store.batches("embed", "training", n + 1))


def test_an_interrupted_pass_is_resumed_and_a_complete_one_is_not_repeated(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole", policy, episodes)
    from basalt.probes.hooks import store as module

    real, calls = module._write_shard, []

    def interrupted(part: Path, *arguments: object) -> None:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(part.name)
        real(part, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "store", policy, episodes)
    with pytest.raises(ConfigError, match="not complete"):
        ActivationStore(tmp_path / "store")
    (tmp_path / "store" / f".shard-00002.{platform.node()}-{DEAD}.partial").mkdir()
    monkeypatch.setattr(module, "_write_shard", real)
    written: list[str] = []
    monkeypatch.setattr(
        module, "_write_shard", lambda part, *a: (written.append(part.name), real(part, *a))
    )
    store = write(tmp_path / "store", policy, episodes)
    assert not set(calls) & set(written)
    for name in HOOK_POINTS:
        assert torch.equal(store.read(name, "training"), whole.read(name, "training"))
    written.clear()
    write(tmp_path / "store", policy, episodes)
    assert written == []


def test_a_store_of_something_else_is_refused(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    write(tmp_path / "store", policy, episodes)
    with pytest.raises(ConfigError, match="made with checkpoint='abc', not checkpoint='another'"):
        write(tmp_path / "store", policy, episodes, checkpoint="another")
    with pytest.raises(ConfigError, match="made with episodes="):
        write(tmp_path / "store", policy, episodes[1:])
    with pytest.raises(ConfigError, match="dtype: expected float16 or bfloat16, got 'int8'"):
        write(tmp_path / "new", policy, episodes, dtype="int8")
    with pytest.raises(ConfigError, match="expected at least one episode"):
        write(tmp_path / "new", policy, [])
    with pytest.raises(ConfigError, match="unknown hook point 'latnt'; did you mean 'latent'"):
        write_store(tmp_path / "new", policy, episodes, ["training"] * 8, ["latnt"], checkpoint="")
    with pytest.raises(ConfigError, match="hook point 'latent' is not in this store"):
        ActivationStore(tmp_path / "store").read("latent", "training")
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(ConfigError, match="expected a basalt-activations file"):
        ActivationStore(tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(ConfigError, match="expected a basalt-activations file"):
        ActivationStore(tmp_path / "store")


def test_activations_that_are_not_finite_are_named(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    layer = policy.net.lastlayer.layer
    before = layer.weight.detach().clone()
    try:
        with torch.no_grad():
            layer.weight[0, 0] = float("nan")
        with pytest.raises(
            ConfigError, match=r"hook point lastlayer: .* NaN or infinite at frame 0 of episode-"
        ):
            write(tmp_path / "store", policy, episodes)
    finally:
        with torch.no_grad():
            layer.weight.copy_(before)


def test_reads_follow_the_order_asked(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    store = write(tmp_path / "store", policy, episodes)
    everything = store.read("embed", "training")
    picked = np.array([100, 3, 77, 3, 0])
    assert torch.equal(store.read("embed", "training", picked), everything[picked])


def test_a_full_disk_is_known_as_one(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path

        import numpy as np

        from basalt.io.atomic import is_full, write_array

        folder = Path(sys.argv[1])
        write_array(folder / "little.npy", np.arange(100))
        assert np.load(folder / "little.npy").sum() == 4950
        try:
            write_array(folder / "much.npy", np.zeros(100_000))
        except OSError as err:
            assert is_full(err), err
        else:
            raise AssertionError("it fits")
    """
    done = on_a_small_disk(tmp_path, 100, code)
    assert done.returncode == 0, done.stderr


def test_leftovers_of_a_killed_writer_are_removed(
    policy: VPTPolicy, episodes: list[Episode], tmp_path: Path
) -> None:
    left = tmp_path / "store" / f".shard-00000.{platform.node()}-{DEAD}.partial"
    left.mkdir(parents=True)
    (left / "embed.npy").write_bytes(b"half")
    store = write(tmp_path / "store", policy, episodes)
    assert store.count("training") > 0
    assert not list((tmp_path / "store").glob(".*partial"))
