"""Writers of tensors report a full disk, leave nothing half-written, and resume afterwards."""

import os

import pytest
import torch

from basalt.io.tensors import write_tensors
from tests.support.small_disk import on_a_small_disk
from tests.support.tiny_policy import TINY

CHECKPOINT = """
    import errno, sys
    from pathlib import Path
    import torch
    from basalt.policies.checkpoint import find_checkpoint, save_checkpoint
    from basalt.policies.config import VPTConfig
    from basalt.policies.vpt import VPTPolicy
    small = Path(sys.argv[1])
    policy = VPTPolicy(VPTConfig(**{sizes}))
    (small / "filler").write_bytes(bytes(1_000_000))
    try:
        save_checkpoint(small / "run", 1, policy, {{"x": torch.zeros(300_000)}}, {{}})
    except OSError as err:
        assert err.errno == errno.ENOSPC and err.filename.endswith(".safetensors"), err
        print("full")
    assert not list((small / "run" / "checkpoints").iterdir())
    (small / "filler").unlink()
    save_checkpoint(small / "run", 1, policy, {{}}, {{}})
    print(find_checkpoint(small / "run").name)
"""

EMBEDDINGS = """
    import sys
    from pathlib import Path
    import torch
    from basalt.cli import main as cli
    from basalt.data import embeddings
    small = Path(sys.argv[1])
    columns = {"latents": torch.zeros(1000, 64)}
    def embed(argv):
        with embeddings.claim_job(small, 0, 1) as staging:
            embeddings.write_shard(small / "a.safetensors", columns, {}, staging)
        return 0
    cli.COMMANDS["embed"] = cli.Command("", "", "__main__:embed")
    (small / "filler").write_bytes(bytes(100_000))
    print(cli.run(["embed"]), sorted(path.name for path in small.iterdir()))
    (small / "filler").unlink()
    print(cli.run(["embed"]), sorted(path.name for path in small.iterdir()))
"""


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_read_what_the_umask_lets_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(3)})
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_checkpoint(tmp_path):
    code = CHECKPOINT.format(sizes=TINY.to_dict())
    done = on_a_small_disk(tmp_path, 2_000, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["full", "step-00000001"]


def test_a_shard_of_embeddings(tmp_path):
    done = on_a_small_disk(tmp_path, 300, EMBEDDINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1 ['.jobs', 'filler']", "0 ['.jobs', 'a.safetensors']"]
    (line,) = done.stderr.strip().splitlines()
    assert "a.safetensors" in line
    assert line.endswith(
        "No space left on device; free some space and run the same command to resume"
    )
