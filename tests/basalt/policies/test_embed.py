"""Embeddings equal the policy's outputs frame by frame, and an interrupted job resumes."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basalt.cli import main as cli
from basalt.data.embeddings import MANIFEST, find_shards, read_manifest
from basalt.data.episodes import load_episodes
from basalt.io.errors import ConfigError
from basalt.io.locks import LOCK_FILE
from basalt.policies import embed as embed_module
from basalt.policies.embed import EmbedConfig, embed, embed_episodes
from basalt.policies.vpt import VPTPolicy
from tests.support.synthetic import write_episode, write_episodes
from tests.support.tiny_policy import TINY, tiny_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("recordings"), range(100_000, 100_004), 30)


def config(folder: Path, tmp_path: Path, **changes: object) -> EmbedConfig:
    run = tiny_run(tmp_path / "run")
    made = EmbedConfig(
        data=str(folder), policy=str(run), out=str(tmp_path / "out"), dtype="float32",
        batch_size=3, seq_len=7, workers=0, device="cpu", progress=False,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@torch.no_grad()
def test_shards_hold_what_single_steps_give_and_what_the_player_did(
    folder: Path, tmp_path: Path
) -> None:
    cfg = config(folder, tmp_path)
    frames = sum(map(len, load_episodes(folder)))
    assert embed(cfg) == {"plays": 4, "embedded": 4, "frames": frames}
    policy = VPTPolicy(TINY)
    torch.manual_seed(0)
    policy = VPTPolicy(TINY).eval()
    episodes = load_episodes(folder, size=TINY.frame_size)
    shards = find_shards(cfg.out)
    assert [s.name for s in shards] == [e.name for e in episodes]
    for shard, episode in zip(shards, episodes, strict=True):
        columns = shard.read()
        assert (len(shard), shard.place, shard.task) == (
            len(episode),
            episode.split_group,
            "find_cave",
        )
        np.testing.assert_array_equal(columns["buttons"], episode.buttons)
        np.testing.assert_array_equal(columns["camera"], episode.camera)
        np.testing.assert_array_equal(columns["esc"], episode.esc)
        state, stepped = policy.initial_state(1), []
        for frame in episode.read():
            first = torch.zeros(1, 1, dtype=torch.bool)
            out = policy(torch.from_numpy(np.array(frame))[None, None], first, state)
            state = out.state
            stepped.append(out.latent[0, 0])
        torch.testing.assert_close(columns["latents"], torch.stack(stepped), rtol=0, atol=2e-3)


def test_a_job_goes_on_with_what_is_missing_or_changed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_episodes(tmp_path / "data", range(100_000, 100_003), 12)
    cfg = config(data, tmp_path, batch_size=1)
    write, written = embed_module._write, []

    def write_once(path: Path, *rest: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(embed_module, "_write", write_once)
        with pytest.raises(KeyboardInterrupt):
            embed(cfg)
    assert len(find_shards(cfg.out)) == 1
    assert embed(cfg)["embedded"] == 2
    assert embed(cfg) == {"plays": 3, "embedded": 0, "frames": 0}
    write_episode(data, 100_001, 20)
    assert embed(cfg) == {"plays": 3, "embedded": 1, "frames": 20}


def test_jobs_side_by_side_share_the_plays(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder, tmp_path, shards=3)
    assert [embed(replace(cfg, shard=k))["embedded"] for k in range(3)] == [2, 1, 1]
    assert len(find_shards(cfg.out)) == 4


def test_another_policy_or_other_labels_are_refused(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder, tmp_path)
    embed(cfg)
    with pytest.raises(
        ConfigError, match=r"embeddings\.json: .* labels='corrected', not labels='legacy'"
    ):
        embed(replace(cfg, labels="legacy"))
    other = tiny_run(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="made with fingerprint"):
        embed(replace(cfg, policy=str(other)))
    assert read_manifest(Path(cfg.out)).width == 32
    next(Path(cfg.out).rglob("*.safetensors")).write_bytes(b"cut")
    with pytest.raises(ConfigError, match=r"safetensors: damaged .* remove it"):
        embed(cfg)


def test_a_folder_from_before_the_labels_were_renamed_is_resumed(
    folder: Path, tmp_path: Path
) -> None:
    cfg = config(folder, tmp_path)
    embed(cfg)
    manifest = Path(cfg.out) / MANIFEST
    manifest.write_text(manifest.read_text().replace("corrected", "mended"))
    assert embed(replace(cfg, labels="mended"))["embedded"] == 0
    assert read_manifest(Path(cfg.out)).labels == "corrected"


def test_workers_change_nothing(folder: Path) -> None:
    torch.manual_seed(0)
    policy = VPTPolicy(TINY).eval()
    episodes = load_episodes(folder, size=TINY.frame_size, cache_gb=0)
    alone, shared = (dict_of(embed_episodes(policy, episodes, 2, 9, w)) for w in (0, 2))
    assert set(alone) == set(shared) == {e.name for e in episodes}
    for name, latents in alone.items():
        torch.testing.assert_close(shared[name], latents, rtol=0, atol=0)


def dict_of(pairs):  # type: ignore[no-untyped-def]
    return {episode.name: latents for episode, latents in pairs}


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = tiny_run(tmp_path / "run"), tmp_path / "out"
    command = ["embed", f"policy={run}", "data=folder", f"data.source={folder}", f"out={out}"]
    command += ["device=cpu", "progress=false", "workers=0"]
    assert cli.run(command) == 0
    assert "4 plays embedded" in capsys.readouterr().out
    assert json.loads((out / "embeddings.json").read_text())["dtype"] == "float16"
    for wrong, message in (
        ("policy=nowhere", "policy: expected a checkpoint or a run"),
        ("policy=foundation-1x", "basalt policy download foundation-1x"),
        ("shard=2", "shard: expected one of 0..0, got 2"),
        ("dtype=int8", "unknown option 'int8'; available: float16, float32"),
    ):
        assert cli.run([*command, wrong]) == 1
        assert message in capsys.readouterr().err


def test_a_sweep_runs_all_jobs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tiny_run(tmp_path / "run"), tmp_path / "out"
    command = ["embed", "-m", "shards=2", "shard=0,1", f"policy={run}", f"out={out}"]
    command += ["data=folder", f"data.source={folder}", "device=cpu", "progress=false"]
    assert cli.run([*command, "workers=0"]) == 0
    assert len(find_shards(out)) == 4
    assert cli.run([*command, "workers=0", "dtype=int8"]) == 1
    assert "unknown option 'int8'" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from basalt.cli import main as cli
from basalt.data import embeddings
write, calls = embeddings.write_tensors, []
def killed(path, *rest):
    write(path, *rest)
    (path.parent / ".tmpOfSafetensors").write_bytes(b"half")
    calls.append(path)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
embeddings.write_tensors = killed
cli.run(sys.argv[1:])
"""


def test_a_job_that_was_killed_goes_on_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    cfg = config(folder, tmp_path)
    whole, parts = replace(cfg, out=str(tmp_path / "whole")), Path(cfg.out)
    embed(whole)
    command = ["embed", f"policy={cfg.policy}", "data=folder", f"data.source={folder}"]
    command += ["dtype=float32", "rows=3", "length=7", "workers=0", "device=cpu", f"out={parts}"]
    dead = subprocess.run([sys.executable, "-c", KILLED, *command, "progress=false"], check=False)
    assert dead.returncode == -signal.SIGKILL
    (done,) = find_shards(parts)
    before = done.path.stat().st_mtime_ns
    assert len(list((parts / ".jobs" / "0-of-1").iterdir())) == 3
    assert embed(cfg)["embedded"] == 3
    assert done.path.stat().st_mtime_ns == before
    hidden = [path.name for path in parts.rglob(".*") if path.is_file()]
    assert hidden == [LOCK_FILE] and not list(parts.rglob("*.partial"))
    for one, other in zip(find_shards(whole.out), find_shards(parts), strict=True):
        for name, column in one.read().items():
            # Plays stand beside others than before, so sums of floats may be rounded differently.
            torch.testing.assert_close(other.read()[name], column, rtol=0, atol=1e-5)
