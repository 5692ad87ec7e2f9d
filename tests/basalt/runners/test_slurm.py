"""Jobs on Slurm, whose programs are stand-ins here: sbatch runs the tasks of a job on this machine."""

import os
import re
import stat
import sys
from pathlib import Path

import pytest

from basalt.io.errors import ConfigError, MissingDependencyError
from basalt.runners.jobs import run_jobs
from basalt.runners.slurm import SlurmRunner
from tests.basalt.runners.fake_jobs import done, job_list

SBATCH = """#!/bin/bash
# Runs each task of the job in the background; $STANDIN remembers the processes.
cp "$1" "$STANDIN/job.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' "$1")
for task in $(seq 0 "${last:-0}"); do
  export SLURM_JOB_ID=7 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0
  if [ -n "$last" ]; then export SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task; fi
  bash "$1" >"$STANDIN/$task.out" 2>&1 </dev/null &
  echo $! >>"$STANDIN/processes"
done
echo "Submitted batch job 7"
"""
SQUEUE = """#!/bin/bash
for process in $(cat "$STANDIN/processes"); do
  kill -0 "$process" 2>/dev/null && echo 7
done
exit 0
"""
REFUSES = """#!/bin/bash
echo "sbatch: error: invalid partition specified: nowhere" >&2
exit 1
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with stand-ins for Slurm's programs, which come first in PATH."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "squeue": SQUEUE}.items():
        write_program(folder / name, text)
    for name in ("srun", "scancel"):
        write_program(folder / name, "#!/bin/bash\nexit 0\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("STANDIN", str(folder))
    return folder


def write_program(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_job_array_does_all_jobs(tmp_path, slurm):
    todo = job_list(tmp_path / "out", *(f"job{number} is slow" for number in range(6)))
    ended = {name: end.outcome() for name, end in run_jobs(todo, SlurmRunner(partition="cpu"), 2)}
    assert sorted(ended) == done(tmp_path / "out") == [f"job{number}" for number in range(6)]


GOLDEN = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-2%3
#SBATCH --cpus-per-task=4
#SBATCH --error=OUT/%A_%a_0_log.err
#SBATCH --gpus-per-node=1
#SBATCH --job-name=basalt
#SBATCH --mem=16000MB
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=OUT/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=long
#SBATCH --signal=USR2@90
#SBATCH --time=90
#SBATCH --wckey=submitit

# command
export SUBMITIT_EXECUTOR=slurm
PYTHON -u -m submitit.core._submit OUT
"""


def test_the_job_file_has_the_settings(tmp_path, slurm):
    write_program(slurm / "sbatch", '#!/bin/bash\ncp "$1" "$STANDIN/job.sh"\necho job 7\n')
    runner = SlurmRunner(
        partition="gpu",
        account="lab",
        minutes=90,
        cpus=4,
        gpus=1,
        memory_gb=16,
        more={"qos": "long"},
    )
    (slurm / "processes").touch()
    with runner.start(print, 3, tmp_path) as array:
        assert not array.running()
    text = (slurm / "job.sh").read_text()
    text = text.replace(sys.executable, "PYTHON").replace(str(tmp_path / "slurm"), "OUT")
    assert text.strip() == GOLDEN.strip()


def test_a_refused_job_is_one_error(tmp_path, slurm):
    write_program(slurm / "sbatch", REFUSES)
    todo = job_list(tmp_path / "out", "a")
    with pytest.raises(
        ConfigError, match=r"sbatch refused the job: .*invalid partition specified: nowhere"
    ):
        list(run_jobs(todo, SlurmRunner(partition="nowhere"), 1))


def test_without_submitit_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        MissingDependencyError, match=r"submitit is not installed; fix: pip install"
    ):
        SlurmRunner().executor(tmp_path)


def test_without_slurm_its_program_is_named(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingDependencyError, match=re.escape("Slurm's sbatch is not installed here")
    ):
        SlurmRunner().executor(tmp_path)
