"""Twins: one thing of a seed's saved world changed, and nothing else.

``env.reset(seed=..., options={"edit": {"block": {"position": [3, 8, -2], "to": "air"}}})``. Two episodes of the same seed
and actions, one with the edit, are equal until the edit matters: what differs from then on is its effect, not
chance (``docs/worlds.md`` has the schema).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from basalt.io.errors import ConfigError

INVENTORY_SLOTS = 36

_Name = Annotated[str, Field(pattern=r"^[a-z0-9_:]{1,64}$")]
Place = tuple[int, int, int]
"""[x, y, z] in nodes, y up."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BlockEdit(_Part):
    """The block at ``position`` becomes ``to``; ``air`` takes it away."""

    position: Place
    to: _Name


class ItemEdit(_Part):
    """Slot ``slot`` (0 to 8: the hotbar) of the starting inventory holds ``quantity`` of ``to``; null: nothing."""

    slot: Annotated[int, Field(ge=0, lt=INVENTORY_SLOTS)]
    to: _Name | None
    quantity: Annotated[int, Field(ge=1, le=64)] = 1


class AnimalEdit(_Part):
    """The animal ``number`` (as telemetry and the site's ``creatures`` count, from 1) is another one.

    Either its kind becomes ``to`` (chicken, cow, pig, sheep; null: it is not there), or it starts at
    ``position``, the node of its feet.
    """

    number: Annotated[int, Field(ge=1)]
    to: Literal["chicken", "cow", "pig", "sheep"] | None = None
    position: Place | None = None

    @model_validator(mode="after")
    def _one_change(self) -> "AnimalEdit":
        if len(self.model_fields_set & {"to", "position"}) != 1 or (
            "position" in self.model_fields_set and self.position is None
        ):
            raise ValueError("an animal gets either another kind (to) or another position")
        return self


class Edit(_Part):
    """Exactly one change.

    Attributes:
        block: of a block.
        item: of the starting inventory.
        animal: of an animal of a village.
    """

    block: BlockEdit | None = None
    item: ItemEdit | None = None
    animal: AnimalEdit | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "Edit":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(
                f"an edit changes exactly one thing (one of {known}), not {len(given)}"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """As it was given, ready for JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


def parse_edit(content: Mapping[str, Any]) -> Edit:
    """A checked edit.

    Raises:
        ConfigError: it is not in the schema; the message names the field.
    """
    try:
        return Edit.model_validate(content)
    except ValidationError as err:
        fault = err.errors()[0]
        field = ".".join(["edit", *(str(part) for part in fault["loc"])])
        raise ConfigError(f"{field}: {fault['msg'].removeprefix('Value error, ')}") from err


def edit_of(options: Mapping[str, Any] | None) -> Edit | None:
    """The edit in the ``options`` of a reset, if any.

    Raises:
        ConfigError: an option that is none, or a wrong edit.
    """
    options = options or {}
    if unknown := [key for key in options if key != "edit"]:
        raise ConfigError(f"options: unknown option {unknown[0]!r}; known: edit")
    content = options.get("edit")
    return None if content is None else parse_edit(content)
