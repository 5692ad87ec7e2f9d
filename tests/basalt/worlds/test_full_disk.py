"""A disk that is full, for real: a small file system of its own, in a namespace of its own."""

import pytest

from basalt.core.tasks import get_task
from basalt.worlds.luanti.worldcache import saved_world
from tests.support.small_disk import on_a_small_disk
from tests.support.world_behaviour import SEED

COPY = """
    import os, sys, tempfile
    from pathlib import Path
    from basalt.io.errors import WorldError
    from basalt.worlds import make_env
    small, seed = Path(sys.argv[1]), int(sys.argv[2])
    tempfile.tempdir = str(small)
    env = make_env("find_cave", size=(160, 90))
    try:
        env.reset(seed=seed)
    except WorldError as err:
        print(err)
    assert not list(small.iterdir()), list(small.iterdir())
    tempfile.tempdir = None
    env.reset(seed=seed)
    print("recovered", env.step({})[-1]["telemetry"].step)
    env.close()
"""


@pytest.mark.engine
def test_a_world_that_cannot_be_copied_is_said_and_leaves_nothing(tmp_path):
    saved_world(get_task("find_cave"), SEED)
    done = on_a_small_disk(tmp_path, 600, COPY, str(SEED))
    assert done.returncode == 0, done.stderr
    failure, recovered = done.stdout.strip().splitlines()
    assert "cannot be copied" in failure and "No space left on device" in failure
    assert len(failure) < 600 and recovered == "recovered 1"


ROLLOUT = """
    import sys
    from pathlib import Path
    out = Path(sys.argv[1], "out")
    from tests.support.minerl_standin import StandIn
    from basalt.cli.main import run
    with StandIn() as standin:
        address = f"world.args.address={standin.address}"
        status = run(["rollout", "agent=random", "world=minerl", address, "seeds=1",
                      f"out={out}", "max_steps=100", "crf=0"])
    print(sorted(path.name for path in out.iterdir()))
    sys.exit(status)
"""


def test_a_recording_that_has_no_room_is_one_clear_error_and_nothing_half_written(tmp_path):
    done = on_a_small_disk(tmp_path, 64, ROLLOUT)
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("basalt rollout:")]
    assert "No space left on device" in line and "Traceback" not in done.stderr, done.stderr
    assert done.stdout.splitlines()[-1] == "['.lock', 'rollout.json']"
