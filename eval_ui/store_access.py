"""The open store of the app's process, shared by its pages and its HTTP routes."""

import os
from functools import lru_cache

from leaderboard.store.database import Store, default_store, open_store

STORE_VARIABLE = "BASALT_STORE"
"""Environment variable that names the store: a file or a database URL."""


@lru_cache(maxsize=1)
def the_store() -> Store:
    """The store named by `$BASALT_STORE`, or the default one.

    Raises:
        StoreError: it cannot be opened.
    """
    return open_store(os.environ.get(STORE_VARIABLE) or default_store())
