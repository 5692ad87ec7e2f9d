"""A substitute for the browser's side of an element of the app."""

from collections.abc import Callable
from typing import Generic, TypeVar

from eval_ui.judging.acts import Reply

View = TypeVar("View")
Act = TypeVar("Act")


class Element(Generic[View, Act]):
    """Records what it was shown, and passes on what a rater does next."""

    def __init__(self) -> None:
        self.view: View | None = None
        self.handle: Callable[[Act], Reply] | None = None

    def __call__(self, view: View, handle: Callable[[Act], Reply]) -> None:
        self.view, self.handle = view, handle

    @property
    def shown(self) -> View:
        assert self.view is not None
        return self.view

    def do(self, act: Act) -> Reply:
        assert self.handle is not None
        return self.handle(act)
