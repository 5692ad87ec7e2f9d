"""Filtered behavioural cloning."""

from agents.bc.train import TrainResult
from agents.common.latents import load_latents
from agents.filtered_bc.clone import clone_clips
from agents.filtered_bc.config import FilteredBCConfig
from agents.reward.answers import decided, read_answers
from agents.reward.train import check_episodes
from basalt.core.tasks import get_task, refuse_test_seeds
from basalt.io.errors import ConfigError


def train(cfg: FilteredBCConfig) -> TrainResult:
    """Imitate the winner of each decided answer, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The answers, the recordings, the policy or the folder of the run cannot be used.
    """
    task = get_task(cfg.task)
    answers = decided(read_answers(cfg.comparisons, task.name, cfg.question, cfg.sources))
    if not answers:
        raise ConfigError("comparisons: expected answers that name a winner, got none; ask about more pairs")  # fmt: skip
    seeds = (side.seed for one in answers for side in (one.left, one.right))
    refuse_test_seeds(task, seeds, "filtered behavioural cloning")
    winners = [one.left if one.winner == "left" else one.right for one in answers]
    episodes, embedded_by = load_latents(
        cfg.recordings,
        cfg.init,
        wanted={side.episode for one in answers for side in (one.left, one.right)},
        device=cfg.device,
        progress=cfg.progress,
    )
    check_episodes(answers, episodes)
    return clone_clips(cfg, "filtered_bc", cfg.comparisons, winners, episodes, embedded_by)
