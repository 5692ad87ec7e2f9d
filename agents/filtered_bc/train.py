"""Filtered behavioural cloning."""

from agents.bc.train import TrainResult
from agents.common.latents import load_latents
from agents.filtered_bc.config import FilteredBCConfig
from agents.preferences.answers import sides_of, winners_and_draws
from agents.preferences.clone import clone_clips
from agents.reward.answers import decided
from agents.reward.train import check_episodes
from basalt.core.tasks import get_task


def train(cfg: FilteredBCConfig) -> TrainResult:
    """Imitate the winner of each decided answer, or resume the run in `cfg.out`.

    Raises:
        BasaltError: The answers, the recordings, the policy or the folder of the run cannot be used.
    """
    found = winners_and_draws(
        get_task(cfg.task), cfg.comparisons, cfg.question, cfg.sources, "filtered behavioural cloning"
    )  # fmt: skip
    answers = decided(found)
    episodes, embedded_by = load_latents(
        cfg.recordings,
        cfg.init,
        wanted={side.episode for one in answers for side in sides_of(one)},
        device=cfg.device,
        progress=cfg.progress,
    )
    check_episodes(answers, episodes)
    winners = [sides_of(one)[0] for one in answers]
    return clone_clips(cfg, "filtered_bc", cfg.comparisons, winners, episodes, embedded_by)
