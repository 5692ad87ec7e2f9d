"""The element for comparing clips: two looping clips in step, one key an answer, the next pair loaded behind them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from basalt.core.comparisons import Winner
from eval_ui.components import component
from eval_ui.judging.acts import Reply, Undo, show_element
from leaderboard.store.models import SkipReason

_element = component(
    "basalt_compare",
    frame="compare.html",
    styles=["pair.css", "compare.css"],
    scripts=["compare.js"],
)


class ClipAnswer(BaseModel):
    """The browser's answer to a pair of clips. It is untrusted: checked here, and by the store.

    Attributes:
        pair: Id of the pair.
        winner: Which clip is better.
        skip_reason: Why the pair is skipped; None for other answers.
        seconds: Time from when the pair could be played to the answer.
        speed: Playback speed.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["answer"]
    nonce: str = Field(max_length=100)
    pair: str = Field(max_length=100)
    winner: Winner
    skip_reason: SkipReason | None = None
    seconds: float = Field(ge=0, allow_inf_nan=False)
    speed: float = Field(gt=0, allow_inf_nan=False)


Act = ClipAnswer | Undo

_ACT: TypeAdapter[Act] = TypeAdapter(Act)


@dataclass(frozen=True)
class ShownPair:
    """A pair of clips to show or to load.

    Attributes:
        pair: Opaque id.
        left: URL of the left clip.
        right: URL of the right clip.
    """

    pair: str
    left: str
    right: str


@dataclass(frozen=True)
class ClipsView:
    """What the element shows.

    Attributes:
        pairs: The pair on screen, and the one to load behind it.
        title: Title of the task.
        instruction: Instruction that the players had.
        standing: Progress in words.
        undo_until: Time until which the last answer can be withdrawn, milliseconds since 1970.
    """

    pairs: tuple[ShownPair, ...]
    title: str
    instruction: str
    standing: str
    undo_until: int | None


def compare_clips(view: ClipsView, handle: Callable[[Act], Reply]) -> None:
    """Show the element.

    Args:
        view: What it shows.
        handle: Called with the rater's action, before the page is redrawn.
    """
    show_element(_element, "clips", asdict(view), _ACT, handle)
