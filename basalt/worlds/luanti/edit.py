"""An edit in the game's own names, for the mod (``mod/edit.lua``)."""

from typing import Any

from basalt.worlds.edits import Edit
from basalt.worlds.luanti.items import game_name


def apply_edit(config: dict[str, Any], edit: Edit) -> None:
    """Write an edit into an episode's configuration (``basalt.json``).

    What is carried is changed here; the mod changes the rest, and refuses names that the game does not have.
    """
    change = edit.to_json()
    for kind in ("block", "item"):
        if kind in change and change[kind]["to"] is not None:
            change[kind]["to"] = game_name(change[kind]["to"])
    config["edit"] = change
    if edit.item is not None:
        things = [list(thing) for thing in config["inventory"]]
        things += [["", 0]] * (edit.item.slot + 1 - len(things))
        name = change["item"]["to"]
        things[edit.item.slot] = ["", 0] if name is None else [name, edit.item.quantity]
        config["inventory"] = things
