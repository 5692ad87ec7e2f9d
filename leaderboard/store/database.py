"""Open a leaderboard's database: SQLite in a file, or PostgreSQL by URL. It is migrated when opened.

Submitted recordings are stored in a media folder. For SQLite it is `NAME.media` beside `NAME.sqlite`, so that
both move together; for a server database it must be named.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.orm import Session

from basalt.io.errors import BasaltError, MissingDependencyError
from basalt.io.locks import queued
from basalt.io.paths import cache_dir
from basalt.io.untrusted import parse_json
from leaderboard.store.media import RemoteMedia

DEMO_STORE = Path("runs/demo/leaderboard.sqlite")
DEFAULT_STORE = Path("runs/leaderboard.sqlite")

MEDIA_VARIABLE = "BASALT_MEDIA"
"""Environment variable that names the media folder of a server database, or an object store's URL."""

BUSY_SECONDS = 30
"""Seconds that SQLite waits for a program that does not take turns (see `_turn`) before it gives up."""

UNRELEASED = ("0001", "0002", "0003")
"""Revisions of stores made before the first release; they are no longer read."""

LAST_READER = "548b757"
"""The last commit that reads those stores."""

# Any fixed number: it names the lock under which PostgreSQL stores are migrated.
_MIGRATION_LOCK = 7_313_001

_migrating = threading.Lock()

STREAMED_ROWS = 2_000
"""Rows of a large table that are read at a time."""

_turns: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
"""Lock of this process's writers, by SQLite file."""


class StoreError(BasaltError):
    """A leaderboard's database that cannot be opened or used."""


class Store:
    """An open leaderboard.

    Attributes:
        url: URL of the database, without the password.
        media: Folder of the submitted recordings; with `remote`, of local copies.
        remote: Object store of the recordings; None if they are in `media`.
        engine: SQLAlchemy's engine; use `read` and `write` instead if possible.
        secrets: Cache of the store's own secrets, see `leaderboard.studies.access.store_secret`.
    """

    def __init__(self, engine: Engine, media: Path, remote: RemoteMedia | None = None) -> None:
        self.engine = engine
        self.media = media
        self.remote = remote
        self.url = engine.url.render_as_string(hide_password=True)
        self.secrets: dict[str, str] = {}
        self._writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one state of the store; its changes are discarded."""
        with self._faults(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: all of it is durable when the block ends, or nothing of it after an exception.

        On SQLite it holds the write lock from its start, so that what it reads cannot change.
        """
        with (
            self._faults(),
            _turn(self.engine),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Name the faults of the database itself; a value that it refuses is our fault."""
        try:
            yield
        except (DataError, IntegrityError, InternalError, ProgrammingError):
            raise
        except (DatabaseError, InterfaceError, NoConnectionError) as err:
            # SQLAlchemy's own text has the statement and its values.
            reason = str(err.orig if isinstance(err, DBAPIError) else err).partition("\n")[0]
            raise StoreError(
                f"{_shown(self.engine.url)}: the database failed ({reason}); try again, or use a copy of it that is sound"
            ) from err

    def media_file(self, name: str) -> Path:
        """A recording's file on this machine, fetched from the object store if it is not local.

        Args:
            name: Name of the file, e.g. `f"{episode.media_name}.mp4"`.
        """
        path = self.media / name
        if self.remote is not None and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
            with contextlib.suppress(FileNotFoundError):
                self.remote.fetch(name, partial)
                partial.replace(path)
        return path

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def open_store(location: str | Path, media: str | Path | None = None) -> Store:
    """Open a leaderboard; its tables are made or migrated if necessary.

    An SQLite file that cannot be written, or is in a folder that cannot, is opened for reading.

    Args:
        location: Path of an SQLite file, or a URL: `sqlite:///FILE`, `postgresql://...`.
        media: Folder of the recordings, or an fsspec URL (`s3://bucket/folder`). The default is
            `$BASALT_MEDIA` if that is a URL, otherwise `NAME.media` beside an SQLite file, and the folder
            `$BASALT_MEDIA` for a server database.

    Raises:
        StoreError: The database cannot be opened, is not a leaderboard, or was made by another version.
        MissingDependencyError: The database's driver is not installed.
    """
    url = store_url(location)
    read_only = url.get_backend_name() == "sqlite" and _is_read_only(Path(str(url.database)))
    engine = _engine(url, read_only=read_only)
    folder, remote = _media(url, media)
    try:
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
            if url.get_backend_name() == "sqlite":
                _use_write_ahead_log(engine)
        # Alembic keeps its state in module variables, so a process runs one migration at a time.
        with _migrating:
            _migrate(engine, read_only=read_only)
    except OSError as err:
        raise StoreError(f"{err.filename}: cannot be created ({err.strerror})") from err
    except DBAPIError as err:
        raise StoreError(f"{_shown(url)}: cannot be opened as a leaderboard ({err.orig})") from err
    return Store(engine, folder, remote)


def streamed(session: Session, query: Any) -> Iterator[Any]:
    """Rows of a query, `STREAMED_ROWS` in memory at a time: a session does not keep what it has read."""
    yield from session.execute(query, execution_options={"yield_per": STREAMED_ROWS})


def store_url(location: str | Path) -> URL:
    """The SQLAlchemy URL of a store given as a path or as a URL.

    Raises:
        StoreError: The URL is not valid, or the database is neither SQLite in a file nor PostgreSQL.
    """
    if isinstance(location, Path) or "://" not in location:
        return URL.create("sqlite", database=str(location))
    try:
        url = make_url(location)
    except (ArgumentError, ValueError) as err:  # ValueError: a port that is not a number
        raise StoreError(f"--store: expected a path or a database URL, got {location!r}") from err
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise StoreError(f"--store: {kind} is not supported; use a file, or postgresql://...")
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError(f"--store: expected the path of a file, got {location!r}")
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url


def store_exists(location: str | Path) -> bool:
    """Whether the store exists; a server database is assumed to exist."""
    url = store_url(location)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).is_file()


def default_store() -> str:
    """The demo's store if it exists, otherwise `runs/leaderboard.sqlite`."""
    return str(DEMO_STORE if DEMO_STORE.is_file() else DEFAULT_STORE)


def open_existing(location: str | None) -> Store:
    """The store at `--store`, or the default one.

    Raises:
        StoreError: It does not exist; the message says how to make one.
    """
    location = location or default_store()
    if not store_exists(location):
        raise StoreError(
            f"{location}: there is no leaderboard yet; make a small one with `make demo`, or one of the "
            "official seeds with `basalt references --study official` or "
            "`basalt submit DIR --study official`"
        )
    return open_store(location)


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a migration over an open connection."""
    config = Config()
    migrations = Path(__file__).resolve().parent / "migrations"
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _shown(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)


def _media(url: URL, media: str | Path | None) -> tuple[Path, RemoteMedia | None]:
    """The folder of the recordings or of their local copies, and the object store if there is one."""
    named = media if media is not None else os.environ.get(MEDIA_VARIABLE, "")
    if isinstance(named, str) and "://" in named:
        remote = RemoteMedia(named)
        return cache_dir() / f"media-{sha256(remote.url.encode()).hexdigest()[:16]}", remote
    if media is not None:
        return Path(media), None
    if url.get_backend_name() == "sqlite":
        return _media_beside(Path(str(url.database))), None
    if named:
        return Path(named), None
    raise StoreError(
        f"{_shown(url)}: set {MEDIA_VARIABLE} to the folder of this leaderboard's recordings"
    )


def _media_beside(database: Path) -> Path:
    """The media folder of an SQLite file, which is no other file's.

    Raises:
        StoreError: NAME and NAME.sqlite are both databases, and would share NAME.media.
    """
    name = database.name.removesuffix(".sqlite")
    folder = database.with_name(f"{name}.media")
    twin = database.with_name(f"{name}.sqlite" if name == database.name else name)
    if _is_sqlite(twin):
        raise StoreError(
            f"{database}: would share the folder {folder} with {twin.name}; rename one of the two"
        )
    # Before, the last suffix was replaced whatever it was: `judge.2024` had `judge.media`.
    former = database.with_suffix(".media")
    if database.is_file() and former.is_dir() and not folder.exists():
        return former
    return folder


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(15) == b"SQLite format 3"
    except OSError:
        return False


def _is_read_only(database: Path) -> bool:
    return database.is_file() and not (
        os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)
    )


def _read_only_connection(database: Path) -> sqlite3.Connection:
    # SQLite reads a file with a log only beside an index of the log, which it may have to write. Without a log nobody
    # has the file open, and it can be read as one that does not change.
    logged = database.with_name(f"{database.name}-wal").exists()
    address = f"{database.resolve().as_uri()}?mode=ro{'' if logged else '&immutable=1'}"
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _engine(url: URL, *, read_only: bool = False) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            database = Path(str(url.database))
            database.parent.mkdir(parents=True, exist_ok=True)
            reader: dict[str, Any] = (
                {"creator": lambda: _read_only_connection(database)} if read_only else {}
            )
            engine = sa.create_engine(
                url,
                **reader,
                connect_args={"timeout": BUSY_SECONDS},
                pool_size=10,
                max_overflow=40,
                json_deserializer=_stored_json,
            )
            event.listen(engine, "connect", _on_sqlite_connect)
            event.listen(engine, "begin", _on_sqlite_begin)
            return engine
        return sa.create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=30,
            json_deserializer=_stored_json,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as err:
        raise MissingDependencyError(
            f"{_shown(url)}: missing PostgreSQL driver; "
            "run: pip install 'basalt-benchmark[postgres]'"
        ) from err
    except OSError as err:
        raise StoreError(f"{err.filename}: cannot be created ({err.strerror})") from err


def _stored_json(text: str | bytes) -> Any:
    try:
        return parse_json(text)
    except ValueError as err:
        raise StoreError(
            f"the database has a damaged JSON value ({err}); use a copy of it that is sound"
        ) from err


def _on_sqlite_connect(connection: Any, record: Any) -> None:
    # Python's driver would open transactions itself, but none around table definitions. Turned off, so
    # that _on_sqlite_begin decides, and a failed migration leaves nothing.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    # FULL: a stored answer survives a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _use_write_ahead_log(engine: Engine) -> None:
    """Let readers and one writer work at the same time; the file keeps this mode.

    SQLite does not wait while another process makes the same switch, so this function waits.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with contextlib.closing(engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.DatabaseError as err:
            if "locked" not in str(err) or time.monotonic() > deadline:
                raise StoreError(
                    f"{_shown(engine.url)}: cannot be opened as a leaderboard ({err})"
                ) from err
            time.sleep(0.02)


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Let one writer after another write, in all threads and processes of this machine.

    SQLite's own writers retry at growing intervals, so that among fifty some fail until they give up. Here
    they wait in the order in which they came, and a killed process releases its turn. PostgreSQL does not
    need turns: its writers wait for rows in order.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    path = Path(str(engine.url.database)).resolve()
    with _turns[path], queued(path.with_name(f"{path.name}-turn")):
        yield


def _on_sqlite_begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _migrate(engine: Engine, *, read_only: bool = False) -> None:
    """Make or migrate the tables, in one transaction; of a store for reading, only check them."""
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    turn: AbstractContextManager[None] = contextlib.nullcontext() if read_only else _turn(engine)
    with turn, engine.execution_options(sqlite_begin=begin).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        config = alembic_config(connection)
        script = ScriptDirectory.from_config(config)
        present = MigrationContext.configure(connection).get_current_revision()
        if present == script.get_current_head():
            return
        if present is None and sa.inspect(connection).get_table_names():
            raise StoreError(f"{_shown(engine.url)}: has tables, but is not a leaderboard")
        known = {revision.revision for revision in script.walk_revisions()}
        if present in UNRELEASED:
            raise StoreError(
                f"{_shown(engine.url)}: was made before the first release (tables {present}); "
                f"commit {LAST_READER} is the last one that reads it; use another --store"
            )
        if present is not None and present not in known:
            raise StoreError(
                f"{_shown(engine.url)}: was made by a newer version (tables {present}); "
                "run: pip install --upgrade basalt-benchmark"
            )
        if read_only:
            raise StoreError(
                f"{_shown(engine.url)}: cannot be written, and its tables are of an older version; "
                "open a copy of it that can be written"
            )
        command.upgrade(config, "head")
