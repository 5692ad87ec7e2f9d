"""A substitute for the browser's side of an element of the app."""

from typing import Any, Generic, TypeVar

from eval_ui.judging.acts import ACTS, Reply, holder_of_ticket, perform
from eval_ui.store_access import the_store

View = TypeVar("View")


class Element(Generic[View]):
    """Records what it was shown, and sends what a rater does next, as the browser does."""

    def __init__(self) -> None:
        self.view: View | None = None

    def __call__(self, view: View) -> None:
        self.view = view

    @property
    def shown(self) -> View:
        assert self.view is not None
        return self.view

    def do(self, **act: Any) -> Reply:
        store = the_store()
        ticket = self.shown.ticket  # type: ignore[attr-defined]
        return perform(store, *holder_of_ticket(store, ticket), ACTS.validate_python(act))
