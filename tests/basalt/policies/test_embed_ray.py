"""Embedding jobs spread by Hydra's Ray launcher over a local cluster of two workers."""

from pathlib import Path

import pytest

from basalt.cli import main as cli
from basalt.data.embeddings import find_shards
from tests.support.synthetic import write_episodes
from tests.support.tiny_policy import tiny_run


@pytest.mark.long
def test_a_ray_cluster_of_two_workers_embeds_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before ray is imported: a busy machine starts it slowly, and it need not guard a local test.
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray = pytest.importorskip("ray", reason="the extra launch-ray is not installed")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    folder = write_episodes(tmp_path / "data", range(100_000, 100_005), 30)
    run, out = tiny_run(tmp_path / "run"), tmp_path / "out"
    command = ["embed", "-m", "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]
    command += ["+hydra.launcher.ray.init.include_dashboard=false"]
    command += ["shards=4", "shard=0,1,2,3", f"policy={run}", f"out={out}", "workers=0"]
    command += ["data=folder", f"data.source={folder}", "device=cpu", "progress=false"]
    try:
        assert cli.run(command) == 0
        assert len(find_shards(out)) == 5
        made = {shard.path: shard.path.stat().st_mtime_ns for shard in find_shards(out)}
        # The same sweep finds all there, also on a cluster.
        assert cli.run(command) == 0
        assert {path: path.stat().st_mtime_ns for path in made} == made
        assert cli.run([*command, "dtype=int8"]) == 1
        assert "dtype: unknown option 'int8'" in capsys.readouterr().err
    finally:
        ray.shutdown()
