"""Notes about latents: a file of JSON lines that is only appended to, so no note is ever lost."""

import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from basalt.io.errors import ConfigError
from basalt.io.locks import locked

FILE = "notes.jsonl"
LONGEST = 2000


class Note(BaseModel):
    """A line of the file.

    Attributes:
        hook_point: Hook point of the autoencoder; stored as `site`.
        sae: Name of the autoencoder.
        latent: Number of the latent.
        text: What was written; empty removes the note.
        author: Name of the admin.
        at: Time of writing, ISO 8601.
    """

    hook_point: str = Field(validation_alias="site", serialization_alias="site")
    sae: str
    latent: int
    text: str
    author: str = ""
    at: str = ""


def write_note(
    suite: Path, hook_point: str, name: str, latent: int, text: str, author: str
) -> None:
    """Append a note; the page shows the latest one of each latent.

    Raises:
        ConfigError: the note is too long.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ConfigError(f"note: expected at most {LONGEST} characters, got {len(text)}")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "site": hook_point,
        "sae": name,
        "latent": latent,
        "text": text,
        "author": author,
        "at": at,
    }
    line = Note.model_validate(content).model_dump_json(by_alias=True).encode()
    path = suite / FILE
    with locked(suite / f".{FILE}.lock"), path.open("ab") as file:
        # A writer that was killed may have left an incomplete line.
        lead = b"\n" if file.tell() and _last_byte(path) != b"\n" else b""
        file.write(lead + line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_notes(suite: Path, hook_point: str, name: str) -> dict[int, Note]:
    """The latest note of each latent of an autoencoder, without empty ones."""
    notes: dict[int, Note] = {}
    try:
        lines = (suite / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            note = Note.model_validate_json(line)
        except ValidationError:
            continue  # an incomplete line
        if (note.hook_point, note.sae) == (hook_point, name):
            notes[note.latent] = note
    return {latent: note for latent, note in notes.items() if note.text}


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
