"""Put what a folder holds, with a card and a list of files, at an address."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec

from basalt.core.published import (
    CARD,
    MANIFEST,
    Manifest,
    describe,
    find_manifest,
    is_address,
)
from basalt.hub.cards import card
from basalt.hub.contents import Contents, look_into
from basalt.io.atomic import write_text
from basalt.io.console import progress_bar
from basalt.io.errors import BasaltError, ConfigError

HUB = "hf://"
"""Start of the addresses of repositories on the Hugging Face Hub, or on another server that $HF_ENDPOINT names."""

Files = dict[str, Path]
"""Files to send, by their path below the address."""


@dataclass(frozen=True)
class Published:
    """What was published.

    Attributes:
        address: Where.
        kind: What it is.
        files: Number of files, with the card.
        bytes: Their size.
    """

    address: str
    kind: str
    files: int
    bytes: int


def publish(
    source: Path,
    address: str,
    *,
    licence: str | None = None,
    private: bool = False,
    replace: bool = False,
    progress: bool = True,
) -> Published:
    """Publish recordings, a policy, a suite, a LeRobot dataset, or a file of comparisons.

    Args:
        source: Folder or file.
        address: `hf://USER/NAME` or `hf://datasets/USER/NAME`, or any address that fsspec can write to.
        licence: Licence for the card, as hubs name it (`cc-by-4.0`); None to state none.
        private: Whether a new repository on a hub is private.
        replace: Whether something else that was published there may be replaced.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        ConfigError: The source cannot be published, or the address is wrong or holds something else.
        MissingDependencyError: The address needs a package that is not installed.
        BasaltError: The address cannot be written; the same call tries again.
    """
    address = address.rstrip("/")
    if not is_address(address):
        raise ConfigError(
            f"{address}: expected an address, e.g. hf://USER/NAME, s3://BUCKET/FOLDER or file:///FOLDER"
        )
    contents = look_into(source)
    with _staged(contents, card(contents, address, licence)) as (files, manifest):
        found = find_manifest(address)
        if found is not None and found != manifest and not replace:
            raise ConfigError(
                f"{address}: expected a new address, got one where other {found.kind} were published; choose another, "
                "or give --replace"
            )
        if address.startswith(HUB):
            _send_to_hub(files, address, private)
        else:
            _send_to_files(files, address, progress)
    size = sum(one.bytes for one in manifest.files)
    return Published(address, manifest.kind, len(manifest.files), size)


@contextmanager
def _staged(contents: Contents, text: str) -> Iterator[tuple[Files, Manifest]]:
    """The files to send, with card and list of files; and that list."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        write_text(made / CARD, text)
        listed = describe(contents.folder, contents.paths, contents.kind).files
        manifest = Manifest(
            kind=contents.kind, files=(*listed, *describe(made, [CARD], contents.kind).files)
        )
        manifest.write(made / MANIFEST)
        files = {path: contents.folder / path for path in contents.paths}
        yield files | {name: made / name for name in (CARD, MANIFEST)}, manifest


def _send_to_files(files: Files, address: str, progress: bool) -> None:
    """Write to a file system of fsspec; the list of files goes last, so a reader never takes half for the whole."""
    system, root = fsspec.core.url_to_fs(address)
    bar = progress_bar(total=len(files), title="publish", unit="file", shown=progress)
    try:
        with bar:
            for path, file in files.items():
                target = f"{root}/{path}"
                system.makedirs(target.rpartition("/")[0], exist_ok=True)
                system.put_file(str(file), target)
                bar.update()
    except (OSError, NotImplementedError) as err:
        raise BasaltError(
            f"{address}: cannot be written ({err}); check the address and your login"
        ) from err


def _send_to_hub(files: Files, address: str, private: bool) -> None:
    """Add all files to a repository in one commit; the repository is made where it is missing."""
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    kind, repository, below = _repository(address)
    api = HfApi()
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        api.create_commit(
            repository,
            [CommitOperationAdd(f"{below}{path}", str(file)) for path, file in files.items()],
            commit_message="Publish with basalt-benchmark",
            repo_type=kind,
        )
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as err:
        reason = str(err).strip().splitlines()[0]
        raise BasaltError(
            f"{address}: cannot be written ({reason}); check the name, and `hf auth login`"
        ) from err


def _repository(address: str) -> tuple[str, str, str]:
    """Kind of a repository, its name USER/NAME, and the folder in it, with a slash at its end if there is one.

    Raises:
        ConfigError: The address does not name a repository.
    """
    parts = address.removeprefix(HUB).split("/")
    kind = "dataset" if parts[0] == "datasets" else "model"
    parts = parts[1:] if kind == "dataset" else parts
    if len(parts) < 2 or not all(parts) or "@" in address:
        raise ConfigError(
            f"{address}: expected hf://USER/NAME or hf://datasets/USER/NAME; give one, without a revision"
        )
    return kind, "/".join(parts[:2]), "".join(f"{part}/" for part in parts[2:])
