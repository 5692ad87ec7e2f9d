"""What holds tensors says that the disk is full, leaves nothing half-written, and goes on afterwards."""

from small_disk import on_a_small_disk

CHECKPOINT = """
    import errno, sys
    from pathlib import Path
    import torch
    from basalt.policies.checkpoint import find_checkpoint, save_checkpoint
    from basalt.policies.vpt import VPTConfig, VPTPolicy
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
    from basalt import cli
    from basalt.data import embeddings
    small = Path(sys.argv[1])
    columns = {"latents": torch.zeros(1000, 64)}
    def embed(argv):
        embeddings.write_shard(small / "a.safetensors", columns, {})
        return 0
    cli.COMMANDS["embed"] = cli.Command("", "", "__main__:embed")
    (small / "filler").write_bytes(bytes(100_000))
    print(cli.run(["embed"]), [path.name for path in small.iterdir()])
    (small / "filler").unlink()
    print(cli.run(["embed"]), [path.name for path in small.iterdir()])
"""


def test_a_checkpoint(tmp_path):
    from test_embed import TINY

    code = CHECKPOINT.format(sizes=TINY.to_dict())
    done = on_a_small_disk(tmp_path, 2_000, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["full", "step-00000001"]


def test_a_shard_of_embeddings(tmp_path):
    done = on_a_small_disk(tmp_path, 300, EMBEDDINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1 ['filler']", "0 ['a.safetensors']"]
    (line,) = done.stderr.strip().splitlines()
    assert "a.safetensors" in line
    assert line.endswith("No space left on device; make room, and the same command goes on")
