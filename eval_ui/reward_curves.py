"""Curves of the Episodes page that reward models drew: the scores of `basalt feedback score`."""

from collections.abc import Sequence

from basalt.core.rewards import find_scores, read_scores
from basalt.io.errors import ConfigError
from eval_ui.probes_page.suites import DEEPEST, results_folder
from eval_ui.watch import Curve, thinned


def reward_curves(videos: Sequence[str]) -> list[Curve]:
    """Reward, and distance from what the model has seen, of each model that scored all of the episodes.

    Args:
        videos: SHA-256 of the episodes' videos.
    """
    root = results_folder()
    found = []
    for folder, model in find_scores(root, DEEPEST):
        try:
            scores = [read_scores(folder, video) for video in videos]
        except ConfigError:
            continue  # a damaged file takes no other curve away
        episodes = [one for one in scores if one is not None and one.reward]
        if len(episodes) < len(videos):
            continue
        name = str(folder.relative_to(root)).removesuffix("/scores")
        teacher = ", synthetic answers" if model.synthetic else ""
        for label, unit, values in (
            (f"Reward by {name}{teacher}", "", [one.reward for one in episodes]),
            (f"Distance from data of {name}", "of the limit", [one.distance for one in episodes]),
        ):
            found.append(Curve(label, unit, tuple(thinned(each) for each in values)))
    return found
