"""Embed recordings: the latents of a frozen policy at every frame, as safetensors shards.

The image encoder is nearly all of the computation and does not depend on order, so frames of several
plays share its calls; only the transformer runs in order, with its memory carried between chunks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from basalt.core.published import data_folder
from basalt.core.settings import Count, Int, PathText, settings
from basalt.core.tasks import get_task
from basalt.data.batch import Batch
from basalt.data.dataset import single_pass
from basalt.data.embeddings import (
    KIND,
    LatentsType,
    Manifest,
    claim_embeddings,
    claim_job,
    open_shard,
    write_shard,
)
from basalt.data.episodes import Episode, load_episodes
from basalt.data.labels import LabelMode, LabelSetting
from basalt.data.sources import EmbeddingSource
from basalt.data.steps import step_table
from basalt.io.claims import make_folder
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import choose_device
from basalt.policies.source import fingerprint, open_policy
from basalt.policies.vpt import VPTPolicy
from basalt.runners.choice import open_runner
from basalt.runners.jobs import JobList, do_jobs
from basalt.runners.local import LocalRunner


@settings
class EmbedConfig:
    """Embed recordings with a frozen policy: the settings of one job.

    Attributes:
        data: Folder of recordings, or `sample`.
        policy: Policy to run (`basalt.policies.source.open_policy`): a run, a checkpoint, a `.weights`
            file or a published name, e.g. foundation-1x.
        out: Folder of the shards. The same command resumes with the plays that are missing.
        task: Task whose recordings to embed; null for all.
        labels: Labelling rules, `corrected` or `legacy`.
        dtype: Type of the latents on disk, `float16` or `float32`.
        batch_size: Number of plays per batch.
        seq_len: Number of frames per chunk.
        workers: Number of decoding processes of each job.
        device: `auto`, `cpu`, `cuda`...
        jobs: Number of processes that each embed a share of the plays.
        runner: Where they run: local for this machine, or a Ray or Slurm cluster (docs/scale.md).
        shards: Number of shares; with jobs= or runner=, each of `jobs` processes embeds one after the other.
        shard: Number of the share to embed, if one process is to embed one share: plays number shard, shard + shards, ...
        progress: Whether to show a progress bar.
    """

    RENAMED = {"rows": "batch_size", "length": "seq_len"}  # noqa: RUF012

    data: PathText
    policy: PathText
    out: PathText
    task: str | None = None
    labels: LabelSetting = "corrected"
    dtype: LatentsType = "float16"
    batch_size: Count = 16
    seq_len: Count = 32
    workers: Int = 1
    device: str = "auto"
    jobs: Count = 1
    runner: dict[str, Any] = field(default_factory=dict)
    shards: Count = 1
    shard: Int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.shard < self.shards:
            raise ConfigError(f"shard: expected one of 0..{self.shards - 1}, got {self.shard}")
        if self.shard and (self.jobs > 1 or self.runner.get("name", "local") != "local"):
            raise ConfigError(
                f"shard: expected 0, since jobs= and runner= embed all shares; got {self.shard}"
            )


def embed(cfg: EmbedConfig) -> dict[str, int]:
    """Embed the plays that have no shard yet.

    Returns:
        Number of `plays`, of those `embedded` in this run, and of their `frames`.

    Raises:
        BasaltError: The data, the policy or the folder is not usable, or a job failed.
    """
    runner = open_runner(cfg.runner)
    if cfg.jobs == 1 and isinstance(runner, LocalRunner):
        return _embed_share(cfg)
    shards = max(cfg.shards, cfg.jobs)
    share = replace(cfg, jobs=1, runner={}, shards=shards, progress=False)
    todo = JobList(
        Path(cfg.out),
        {f"{n}-of-{shards}": replace(share, shard=n) for n in range(shards)},
        _open_embedder,
    )
    make_folder(Path(cfg.out), KIND)
    done = do_jobs(todo, runner, cfg.jobs, title="embed", unit="share", progress=cfg.progress)
    return {name: sum(one[name] for one in done) for name in done[0]}


@contextmanager
def _open_embedder() -> Iterator[Callable[[EmbedConfig], dict[str, int]]]:
    yield _embed_share


def _embed_share(cfg: EmbedConfig) -> dict[str, int]:
    device = choose_device(cfg.device)
    dtype: torch.dtype = getattr(torch, cfg.dtype)
    policy = open_policy(cfg.policy, device)
    source = data_folder(cfg.data)
    out = Path(cfg.out)
    manifest = Manifest(
        policy=cfg.policy,
        fingerprint=fingerprint(policy),
        width=policy.config.hidsize,
        labels=cfg.labels,
        dtype=cfg.dtype,
    )
    with claim_job(out, cfg.shard, cfg.shards) as staging:
        claim_embeddings(out, manifest)
        episodes = load_episodes(
            source,
            task=get_task(cfg.task) if cfg.task else None,
            size=policy.config.frame_size,
            labels=cfg.labels,
            cache_gb=0,
            jobs=cfg.workers,
        )[cfg.shard :: cfg.shards]
        places = {id(e): shard_path(out, source, e.recordings[0].stem) for e in episodes}
        todo = [e for e in episodes if not _is_done(places[id(e)], e)]
        frames = sum(map(len, todo))
        with progress_bar(total=frames, title="embed", unit="frame", shown=cfg.progress) as bar:
            found = embed_episodes(
                policy,
                todo,
                cfg.batch_size,
                cfg.seq_len,
                cfg.workers,
                bar.update,
            )
            for episode, latents in found:
                _write(places[id(episode)], episode, latents.to(dtype), cfg.labels, staging)
    return {"plays": len(episodes), "embedded": len(todo), "frames": frames}


def embed_and_open(cfg: EmbedConfig) -> list[NDArray[np.floating[Any]]]:
    """Embed the plays that have no shard yet, and open the latents of all of them.

    Returns:
        Latents of each play's used frames, mapped from disk, [n, hidsize]; the plays are those of
        `basalt.data.episodes.load_episodes`, in its order.

    Raises:
        BasaltError: The data, the policy or the folder is not usable.
    """
    embed(cfg)
    source = data_folder(cfg.data)
    task = get_task(cfg.task) if cfg.task else None
    episodes = load_episodes(source, task=task, labels=cfg.labels, cache_gb=0)
    return [
        EmbeddingSource(shard_path(Path(cfg.out), source, one.recordings[0].stem)).latents
        for one in episodes
    ]


@torch.inference_mode()
def embed_episodes(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    batch_size: int,
    seq_len: int,
    workers: int,
    on_batch: Callable[[int], object] = lambda frames: None,
) -> Iterator[tuple[Episode, Tensor]]:
    """Run a policy over whole plays.

    Args:
        policy: Policy in evaluation mode.
        episodes: Episodes with frames.
        batch_size: Number of plays per batch.
        seq_len: Number of frames per chunk.
        workers: Number of processes that decode while this one computes; 0 decodes in this process.
        on_batch: Called with the number of frames of each finished batch.

    Yields:
        Each episode as soon as it is finished, with its latents, float32 [n, hidsize] on the CPU.
    """
    open_plays: dict[int, Tensor] = {}
    for batch, latents in latent_batches(policy, episodes, batch_size, seq_len, workers):
        done = []
        for row, index in _parts(batch):
            here = batch.episode[row] == index
            whole = open_plays.setdefault(
                index, torch.empty(len(episodes[index]), latents.shape[-1])
            )
            positions = batch.position[row][here]
            whole[torch.from_numpy(positions)] = latents[row, torch.from_numpy(here)]
            if positions[-1] == len(episodes[index]) - 1:
                done.append(index)
        on_batch(int(batch.valid.sum()))
        for index in done:
            yield episodes[index], open_plays.pop(index)


@torch.inference_mode()
def latent_batches(
    policy: VPTPolicy, episodes: Sequence[Episode], batch_size: int, seq_len: int, workers: int
) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of whole plays in order, each with its latents, float32 [B, T, hidsize] on the CPU."""
    if not episodes:
        return
    device, state = policy.device, policy.initial_state(min(batch_size, len(episodes)))
    for batch in single_pass(episodes, batch_size, seq_len, workers):
        valid = torch.from_numpy(batch.valid)
        first = torch.from_numpy(batch.first).to(device)
        inputs = torch.from_numpy(batch.inputs).to(device, non_blocking=True)
        stacks, state = policy.net.stack(inputs, first, state)
        frames = stacks[valid.to(device)]  # padding is not encoded
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            encoded = policy.net.encode_frames(frames[None])[0]
            x = encoded.new_zeros((*batch.valid.shape, encoded.shape[-1]))
            x[valid.to(device)] = encoded
            latents, state = policy.net.recur(policy.net.embed(x), first, state)
        yield batch, latents.float().cpu()


def _parts(batch: Batch) -> Iterator[tuple[int, int]]:
    """Each row with each episode that has frames in it."""
    for row, episodes in enumerate(batch.episode):
        for index in np.unique(episodes[episodes >= 0]):
            yield row, int(index)


def shard_path(out: Path, source: Path, stem: Path) -> Path:
    """File of a play's embeddings.

    Args:
        out: Folder of embeddings.
        source: Folder of recordings that was embedded.
        stem: Path of the play's first recording in it, without suffix.
    """
    inside = stem.resolve().relative_to(source.resolve())
    return out / inside.parent / f"{inside.name}.safetensors"


def _state(episode: Episode) -> str:
    """Names and sizes of the recordings' files, to detect changes since they were embedded."""
    files = [path for part in episode.recordings for path in (part.video_path, part.lines_path)]
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in files)


def _is_done(path: Path, episode: Episode) -> bool:
    return path.is_file() and open_shard(path).source == _state(episode)


def _write(path: Path, episode: Episode, latents: Tensor, labels: LabelMode, staging: Path) -> None:
    assert episode.play is not None
    null = step_table(episode.play, labels)["null"].to_numpy()[episode.kept]
    columns = {
        "latents": latents,
        "buttons": torch.from_numpy(episode.buttons.copy()),
        "camera": torch.from_numpy(episode.camera.copy()),
        "esc": torch.from_numpy(episode.esc.copy()),
        "null": torch.from_numpy(null.copy()),
    }
    facts = {
        "name": episode.name,
        "place": episode.split_group,
        "task": episode.task,
        "source": _state(episode),
    }
    write_shard(path, columns, facts, staging)
