"""An edit in the game's own names, for the mod (`mod/edit.lua`)."""

from typing import Any

from basalt.worlds.edits import Edit
from basalt.worlds.luanti.items import game_name


def apply_edit(config: dict[str, Any], edit: Edit) -> None:
    """Write an edit into an episode's configuration (`basalt.json`).

    The inventory is changed here; the mod changes the rest, and refuses names that the game does not have.

    Args:
        config: The configuration, which is changed.
        edit: The edit.
    """
    change = edit.to_json()
    for kind in ("block", "item"):
        if kind in change and change[kind]["to"] is not None:
            change[kind]["to"] = game_name(change[kind]["to"])
    config["edit"] = change
    if edit.item is not None:
        slots = [list(stack) for stack in config["inventory"]]
        slots += [["", 0]] * (edit.item.slot + 1 - len(slots))
        name = change["item"]["to"]
        slots[edit.item.slot] = ["", 0] if name is None else [name, edit.item.quantity]
        config["inventory"] = slots
