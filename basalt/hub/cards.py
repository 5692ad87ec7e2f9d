"""Cards: what was published, for people and for a hub's search, from what the files say of themselves."""

from basalt.core.published import CARD
from basalt.hub.contents import Contents

TITLES = {
    "recordings": "Recordings of play",
    "policy": "A policy",
    "suite": "Autoencoders of a policy",
    "board": "Comparisons",
    "lerobot": "Recordings of play, as a LeRobot dataset",
}


def card(contents: Contents, address: str, licence: str | None) -> str:
    """The text of `README.md`. A folder's own follows the facts.

    Args:
        contents: What is published.
        address: Where.
        licence: Licence, as hubs name it; None to state none.
    """
    name = address.rstrip("/").rsplit("/", 1)[-1]
    tags = ["basalt", *contents.tags]
    head = [
        "---",
        *([f"license: {licence}"] if licence else []),
        "tags:",
        *(f"- {tag}" for tag in tags),
        "---",
    ]
    rows = [f"| {what} | {_cell(value)} |" for what, value in contents.facts.items()]
    loads = [line.replace("ADDRESS", address) for line in contents.loads]
    parts = [
        "\n".join(head),
        f"# {name}",
        f"{TITLES[contents.kind]}, published with `basalt hub publish` of the BASALT benchmark (`pip install "
        "basalt-benchmark`). What the table says was read from the files.",
        "\n".join(["| | |", "|---|---|", *rows]),
        "\n".join(["```", *loads, "```"]),
        "" if licence else "No licence was given: ask the author before using it.",
        _own(contents),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(value: str) -> str:
    """A text that cannot leave its cell: names in it are strangers'."""
    plain = " ".join(value.split())
    for sign in "\\`*_[]<>|":
        plain = plain.replace(sign, "\\" + sign)
    return plain


def _own(contents: Contents) -> str:
    """The card that the folder already has."""
    file = contents.folder / CARD
    if contents.kind == "board" or not file.is_file():
        return ""
    text = file.read_text(errors="replace")
    if text.startswith("---\n"):  # of an earlier publication
        text = text[4:].partition("\n---\n")[2]
    return text.strip()
