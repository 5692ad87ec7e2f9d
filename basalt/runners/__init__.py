"""Where independent jobs run: processes on this machine, a Ray cluster, or Slurm.

    todo = JobList(folder, {"seed_7": 7, "seed_8": 8}, open_worker)
    for name, end in run_jobs(todo, open_runner({"name": "ray"}), workers=4):
        end.outcome()

Whatever the runner, workers take jobs from one list in a shared folder (`basalt.runners.jobs`); a runner only starts
worker processes somewhere and says whether they still run.
"""
