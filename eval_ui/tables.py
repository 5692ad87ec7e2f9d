"""Small pieces of HTML. Names were written by strangers: every text is escaped."""

from html import escape


def percent(share: float) -> str:
    """A share as a percentage, as it is written all over the app."""
    return f"{share:.0%}"


def facts_html(facts: dict[str, str], *, small: bool = False) -> str:
    """A few facts side by side, each under its name."""
    items = "".join(
        f'<div><span class="what">{escape(name)}</span><span class="value">{escape(value)}</span></div>'
        for name, value in facts.items()
    )
    return f'<div class="facts{" small" if small else ""}">{items}</div>'
