"""Settings of filtered behavioural cloning."""

from agents.preferences.config import NEEDS_ANSWERS, CloneConfig
from basalt.core.settings import Paths, settings
from basalt.io.errors import ConfigError


@settings
class FilteredBCConfig(CloneConfig):
    """Settings of filtered behavioural cloning: of cloning, and of the answers.

    Attributes:
        comparisons: Files of answers. The winner of each decided one is imitated.
        question: Question whose answers count; empty for "which did better?".
        sources: Sources of answers that count, such as [human]; needed where a file holds several.
    """

    comparisons: Paths = ()
    question: str = ""
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.comparisons:
            raise ConfigError(NEEDS_ANSWERS)
