"""A batch that several processes share: gradients, checkpoints, who writes, and how the processes are started."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from agents.bc.config import TrainConfig
from agents.bc.train import train
from agents.common.distributed import DistributedContext, launch
from agents.common.objective import Objective
from agents.common.started import Started, started
from basalt.data.dataset import SequenceStream
from basalt.data.episodes import Episode, load_episodes
from basalt.io.errors import ConfigError
from basalt.policies.augment import augment, generator
from basalt.policies.checkpoint import load_policy
from basalt.policies.config import VPTConfig
from basalt.policies.imitation import TensorBatch
from basalt.policies.vpt import VPTPolicy
from tests.support.synthetic import write_episodes

TINY = VPTConfig(
    hidsize=32, attention_heads=2, attention_memory_size=24, timesteps=8, n_recurrence_layers=1,
    impala_chans=(2, 4, 4), impala_width=1, img_shape=(32, 32, 3),
)  # fmt: skip
CPU = torch.device("cpu")
ROWS, FRAMES = 4, 8


def write_gradients(
    team: DistributedContext, episodes: list[Episode], file: Path
) -> dict[str, float]:
    """Write the gradients of the second batch; returns the losses of which they are the gradients."""
    torch.manual_seed(3)
    policy = VPTPolicy(TINY)
    objective = Objective(policy, None, "all", 0.0, 20.0, change_weight=5.0, mean=team.mean)
    policy.value_head.requires_grad_(False)
    wrapped = team.wrap_ddp(objective)
    share = (team.rank, team.size)
    stream = SequenceStream(episodes, ROWS, FRAMES, seed=1, mirror=True, share=share)
    memories = objective.initial_memories(ROWS // team.size)
    for _ in range(2):  # the second one with a memory that is not empty
        policy.zero_grad()
        batch = TensorBatch.of(next(stream), CPU)
        frames = augment(batch.inputs, generator(4), shift=2, colour=0.2, share=share)
        loss, _, memories = wrapped(batch._replace(inputs=frames), memories)
        loss.total.backward()
    parts = team.mean(torch.stack([part.detach() for part in loss])).tolist()
    if team.is_main:
        save_file({n: p.grad for n, p in policy.named_parameters() if p.grad is not None}, file)
    return dict(zip(loss._fields, parts, strict=True))


def fail(team: DistributedContext) -> None:
    raise ConfigError(f"expected a failure of {team.size} processes")


def test_two_processes_with_half_a_batch_each_have_the_gradient_of_the_whole(
    tmp_path: Path,
) -> None:
    pytest.importorskip("lightning_fabric")
    episodes = load_episodes(
        write_episodes(tmp_path, range(100_000, 100_004), 30), size=TINY.frame_size
    )
    alone, files = DistributedContext(CPU), (tmp_path / "whole", tmp_path / "halves")
    losses = write_gradients(alone, episodes, files[0])
    shared_losses = launch(write_gradients, alone, 2, episodes, files[1])
    assert shared_losses == pytest.approx(losses, rel=1e-5)
    whole, halves = map(load_file, files)
    assert halves.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(halves[name], value, rtol=1e-4, atol=1e-6)
    assert max(float(abs(value).max()) for value in whole.values()) > 1e-2


@pytest.mark.long
def test_a_failure_of_all_processes_is_the_one_error_that_it_is_in_one() -> None:
    pytest.importorskip("lightning_fabric")
    with pytest.raises(ConfigError, match=r"^expected a failure of 2 processes$"):
        launch(fail, DistributedContext(CPU), 2)


def test_rows_are_augmented_as_in_the_whole_batch() -> None:
    frames = torch.randint(0, 256, (4, 3, 12, 10, 3), dtype=torch.uint8)
    whole = augment(frames, generator(5), shift=3, colour=0.3)
    for rank in range(2):
        share = augment(frames[rank::2], generator(5), shift=3, colour=0.3, share=(rank, 2))
        assert torch.equal(share, whole[rank::2])


TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_WORLD_SIZE": "4",
    "SLURM_STEP_NUM_TASKS": "2",  # torchrun, itself started once on each machine
}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_PROCID": "4",
    "SLURM_NTASKS_PER_NODE": "3",
    "SLURM_NNODES": "2",
}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (TORCHRUN, Started("torchrun", 5, 4, 2)),
        (SRUN, Started("srun", 4, 3, 2)),
        # A job's script, and a worker of runner=slurm.
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0", "SLURM_NTASKS_PER_NODE": "3"}, None),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, None),
    ],
)
def test_what_started_a_process_is_read_from_its_environment(
    environment: dict[str, str], expected: Started | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert started() == expected


@pytest.mark.parametrize("missing", [{"SLURM_NTASKS_PER_NODE": "2"}, {"SLURM_NTASKS_PER_NODE": ""}])
def test_srun_without_equal_numbers_of_processes_is_refused(
    missing: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in (SRUN | missing).items():
        monkeypatch.setenv(name, value)
    if not missing["SLURM_NTASKS_PER_NODE"]:
        monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(ConfigError, match="--nodes=M --ntasks-per-node=N"):
        started()


def settings(data: Path, out: Path, **changes: object) -> dict[str, Any]:
    return {
        "data": str(data),
        "out": str(out),
        "batch_size": 4,
        "seq_len": 8,
        "steps": 6,
        "checkpoint_every": 3,
        "warmup": 8,  # the rate of the first steps does not depend on `steps`
        "held_out": 0.4,
        "shift": 2,
        "colour": 0.2,
        "change_weight": 3,
        "device": "cpu",
        "progress": False,
        **changes,
    }


def torchrun(processes: int, values: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    values = {"data.source" if name == "data" else name: value for name, value in values.items()}
    arguments = ["data=folder", *(f"{name}={value}" for name, value in values.items())]
    return subprocess.run(
        [*program, f"--nproc-per-node={processes}", "-m", "basalt.cli", "train", "agent=bc", *arguments],
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip


@pytest.mark.long
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    """Data and augmentation depend on seed and step only, so the curve is that of one process throughout."""
    pytest.importorskip("lightning_fabric")
    data = write_episodes(tmp_path / "data", range(100_000, 100_006), 40)
    alone = train(TrainConfig(**settings(data, tmp_path / "alone")))

    parts = settings(data, tmp_path / "parts")
    done = torchrun(2, parts | {"steps": 3})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3 steps in") == 1  # said by the first process only
    assert train(TrainConfig(**parts | {"steps": 5, "devices": 1})).step == 5
    done = torchrun(4, parts)
    assert done.returncode == 0, done.stderr

    rows = [
        [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").open()]
        for run in ("alone", "parts")
    ]
    for one, other in zip(*rows, strict=True):
        assert other["step"] == one["step"]
        assert other["loss"] == pytest.approx(one["loss"], rel=2e-3)
    weights = (load_policy(tmp_path / run, CPU)[0].state_dict() for run in ("alone", "parts"))
    for mine, theirs in zip(*(one.values() for one in weights), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=0, atol=1e-3)
    assert alone.step == 6


@pytest.mark.long
def test_processes_that_cannot_begin_say_so_once(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    data = write_episodes(tmp_path / "data", range(100_000, 100_003), 20)
    wrong = torchrun(2, settings(data, tmp_path / "run", batch_size=3))
    assert wrong.returncode == 1
    assert wrong.stderr.count("basalt train: devices: expected a divisor of batch_size=3") == 1
    assert not (tmp_path / "run").exists()
