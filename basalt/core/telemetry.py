"""What the referee knows about a step: one versioned, typed record that no agent sees."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

Fact = bool | int | float | str

OFFHAND_SLOT = 40
"""Number of the other hand's slot, as in Minecraft; 0 to 8 are the hotbar, 9 to 35 the rows above it."""


class Item(BaseModel):
    """A stack of items, as in BEDD's recordings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    quantity: int = Field(ge=1)


class SlotItem(Item):
    """A stack of items in an inventory slot."""

    slot: int | None = Field(default=None, ge=0, description="None if the world does not report it")


class Creature(BaseModel):
    """A living animal or villager."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str = Field(description="e.g. cow")
    id: int = Field(description="number that stays the same for the whole episode")
    position: tuple[float, float, float] = Field(description="feet, x y z in nodes")
    in_view: bool | None = Field(
        default=None,
        description="in the frame and not hidden; None if the world does not report it",
    )


class Telemetry(BaseModel):
    """State of the player before a step (step 0: after reset; the last one: after the last step).

    Positions are in the world's own nodes, y up, x to the right of +z (in Minecraft, as in BEDD's recordings,
    to the left). Angles are in degrees: yaw 0 looks along +z and grows to the right, pitch grows downward.

    Version 1, of recordings made before this package's first release, is converted while reading: there
    creatures, slots and `placed_at` were text among the facts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[2] = 2
    step: int = Field(ge=0)
    xpos: float
    ypos: float = Field(description="height of the feet")
    zpos: float
    yaw: float
    pitch: float
    health: float = Field(ge=0, le=20)
    breath: float = Field(ge=0)
    hotbar: int = Field(ge=0, le=8, description="selected slot")
    held: str = Field(description="item in the hand, empty for none")
    inventory: tuple[SlotItem, ...]
    gui_open: bool
    on_ground: bool
    in_liquid: bool
    light: int = Field(ge=0, le=15, description="light at the head now")
    daylight: int = Field(ge=0, le=15, description="natural light at the head at noon")
    under_roof: bool = Field(description="something solid above the head")
    distance_walked: float = Field(ge=0, description="horizontal nodes since reset")
    dead: bool
    animals: tuple[Creature, ...] | None = Field(
        default=None, description="living animals; None if the task or world does not report them"
    )
    villagers: tuple[Creature, ...] | None = Field(
        default=None, description="villagers; None if the task or world does not report them"
    )
    placed_at: tuple[int, int, int] | None = Field(
        default=None,
        description="node of the block that was placed last; None before, or unreported",
    )
    observed: (
        Annotated[frozenset[str], PlainSerializer(sorted, return_type=list[str], when_used="json")]
        | None
    ) = Field(
        default=None,
        description="fields that the world reported, the others hold defaults; None if it reports all",
    )
    facts: dict[str, Fact] = Field(
        default_factory=dict,
        description="the task's own facts, e.g. in_cave, dug_nodes, dug_down, nodes_placed",
    )

    @model_validator(mode="before")
    @classmethod
    def _convert_version_1(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or data.get("version") != 1:
            return data
        try:
            return _from_version_1(data)
        except (TypeError, OverflowError) as err:  # pydantic reports only a ValueError
            raise ValueError(f"not telemetry of version 1 ({err})") from err

    def is_observed(self, name: str) -> bool:
        """Whether the world reported this field; otherwise it holds a default."""
        return self.observed is None or name in self.observed


def _from_version_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same state as version 2.

    Raises:
        ValueError: a text of version 1 is not in its format.
    """
    facts, inventory = dict(data.get("facts") or {}), list(data.get("inventory") or [])
    new = {**data, "version": 2, "facts": facts, "inventory": inventory}
    if "told" in facts:
        new["observed"] = str(facts.pop("told")).split()
    if "slots" in facts:  # one bit for each full slot, in the order of the inventory
        used = int(facts.pop("slots"))
        full = [slot for slot in range(used.bit_length()) if used >> slot & 1]
        full += [OFFHAND_SLOT] * (len(inventory) - len(full))
        pairs = zip(inventory, full, strict=False)
        new["inventory"] = [{**dict(item), "slot": slot} for item, slot in pairs]
    for sort in ("animals", "villagers"):  # "cow 3 1.0 2.0 3.0; pig 4 ..."
        if sort in facts:
            creatures = [one.split() for one in str(facts.pop(sort)).split(";") if one.strip()]
            new[sort] = [
                {"kind": kind, "id": number, "position": position}
                for kind, number, *position in creatures
            ]
    if "placed_at" in facts:  # "1 2 3", empty before the first
        new["placed_at"] = str(facts.pop("placed_at")).split() or None
    return new
