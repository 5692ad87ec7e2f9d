"""What the referee may know at a step: one versioned record, never shown to an agent."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Fact = bool | int | float | str


class Item(BaseModel):
    """A stack of items in one inventory slot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    quantity: int = Field(ge=1)


class Telemetry(BaseModel):
    """The player's state before a step (step 0: after reset; the last one: after the last step).

    Positions are the world's own nodes, y up, x to the right of +z (in Minecraft, as in BEDD's
    recordings, to the left); angles are degrees, yaw 0 looks along +z and grows to the right, pitch
    grows downward. A world that cannot tell everything lists in the fact ``told`` what it told; the
    rest has a default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1] = 1
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
    inventory: tuple[Item, ...]
    gui_open: bool
    on_ground: bool
    in_liquid: bool
    light: int = Field(ge=0, le=15, description="light at the head now")
    daylight: int = Field(ge=0, le=15, description="natural light at the head at noon")
    under_roof: bool = Field(description="something solid above the head")
    distance_walked: float = Field(ge=0, description="horizontal nodes since reset")
    dead: bool
    facts: dict[str, Fact] = Field(
        default_factory=dict,
        description="the task's own facts, e.g. in_cave, dug_nodes, dug_down, nodes_placed",
    )

    def tells(self, name: str) -> bool:
        """Whether the world told this field, rather than leaving it at a default."""
        told = self.facts.get("told")
        return not isinstance(told, str) or name in told.split()
