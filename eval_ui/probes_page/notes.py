"""What people write about latents: a file of lines that only grows, so nothing written is ever lost."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from basalt.io.errors import ConfigError

FILE = "notes.jsonl"
LONGEST = 2000


def write_note(suite: Path, site: str, name: str, latent: int, text: str, author: str) -> None:
    """Add a note; a later one of the same latent takes its place on the page.

    Raises:
        ConfigError: too long.
    """
    text = text.strip()
    if len(text) > LONGEST:
        raise ConfigError(f"note: {len(text)} characters; at most {LONGEST}")
    line = json.dumps(
        {
            "site": site,
            "sae": name,
            "latent": latent,
            "text": text,
            "author": author,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    with (suite / FILE).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # A writer that was killed may have left half a line.
        lead = b"\n" if file.tell() and _last_byte(suite / FILE) != b"\n" else b""
        file.write(lead + line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_notes(suite: Path, site: str, name: str) -> dict[int, dict[str, Any]]:
    """The newest note of each latent of an autoencoder; emptied ones are left out."""
    notes: dict[int, dict[str, Any]] = {}
    try:
        lines = (suite / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    for line in lines:
        try:
            note = json.loads(line)
            if (note["site"], note["sae"]) == (site, name):
                notes[int(note["latent"])] = note
        except (ValueError, KeyError, TypeError):
            continue  # half a line
    return {latent: note for latent, note in notes.items() if note["text"]}


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
