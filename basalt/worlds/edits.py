"""Twins: worlds in which one thing of a seed's saved world is changed, and nothing else.

`env.reset(seed=..., options={"edit": {"block": {"position": [3, 8, -2], "to": "air"}}})`. Two episodes of the same
seed and actions, one with the edit, are equal until the edit matters: later differences are its effect, not chance.
`docs/worlds-reference.md` has the schema.
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
    """The block at `position` becomes `to`; `air` removes it."""

    position: Place
    to: _Name


class ItemEdit(_Part):
    """A slot of the starting inventory (0 to 8: the hotbar) holds `quantity` of `to`; nothing if `to` is null."""

    slot: Annotated[int, Field(ge=0, lt=INVENTORY_SLOTS)]
    to: _Name | None
    quantity: Annotated[int, Field(ge=1, le=64)] = 1


class AnimalEdit(_Part):
    """One animal, numbered from 1 as in telemetry and the site's `creatures`, is another one.

    Either its kind becomes `to` (chicken, cow, pig, sheep; null removes it), or it starts at `position`, the node
    of its feet.
    """

    number: Annotated[int, Field(ge=1)]
    to: Literal["chicken", "cow", "pig", "sheep"] | None = None
    position: Place | None = None

    @model_validator(mode="after")
    def _one_change(self) -> "AnimalEdit":
        if len(self.model_fields_set & {"to", "position"}) != 1 or (
            "position" in self.model_fields_set and self.position is None
        ):
            raise ValueError("expected either another kind (to) or another position for an animal")
        return self


class Edit(_Part):
    """Exactly one change.

    Attributes:
        block: Change of a block.
        item: Change of the starting inventory.
        animal: Change of an animal of a village.
    """

    block: BlockEdit | None = None
    item: ItemEdit | None = None
    animal: AnimalEdit | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> "Edit":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(type(self).model_fields)
            raise ValueError(f"expected exactly one of {known}, got {len(given)}")
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the edit as it was given, ready for JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


def parse_edit(content: Mapping[str, Any]) -> Edit:
    """Check an edit.

    Raises:
        ConfigError: It does not follow the schema; the message names the field.
    """
    try:
        return Edit.model_validate(content)
    except ValidationError as err:
        fault = err.errors()[0]
        field = ".".join(["edit", *(str(part) for part in fault["loc"])])
        raise ConfigError(f"{field}: {fault['msg'].removeprefix('Value error, ')}") from err


def edit_of(options: Mapping[str, Any] | None) -> Edit | None:
    """Return the edit in the `options` of a reset, or None.

    Raises:
        ConfigError: An option is unknown, or the edit is not valid.
    """
    options = options or {}
    if unknown := [key for key in options if key != "edit"]:
        raise ConfigError(f"options: unknown option {unknown[0]!r}; available: edit")
    content = options.get("edit")
    return None if content is None else parse_edit(content)
