"""A study from its beginning to its end: pause, resume, end, duplicate and delete; `rules` creates, `settings` changes."""

from leaderboard.store.database import Store
from leaderboard.store.models import Study
from leaderboard.studies.access import AdminIdentity, changes
from leaderboard.studies.rules import DELETED, StudyInfo, create_study, lock_study
from leaderboard.studies.settings import change_settings, get_settings


@changes
def pause(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Let nobody begin or get another pair until `resume`; answers to open pairs are still taken."""
    change_settings(store, study, admin, paused=True)


@changes
def resume(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Let a paused or ended study continue where it stopped."""
    change_settings(store, study, admin, paused=False, ended=False)


@changes
def end(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """End a study: nobody can begin or get another pair, and raters see the results. `resume` undoes it."""
    change_settings(store, study, admin, ended=True)


@changes
def duplicate_study(store: Store, study: StudyInfo, admin: AdminIdentity, name: str) -> StudyInfo:
    """Make a study with the same rules and settings, neither paused nor ended; agents have to be submitted again.

    Raises:
        StudyError: The name is taken or not valid.
    """
    settings = get_settings(store, study)
    made = create_study(store, name, study.rules)
    change_settings(store, made, admin, **settings.model_dump() | {"paused": False, "ended": False})
    return made


@changes
def delete_study(store: Store, study: StudyInfo, admin: AdminIdentity) -> None:
    """Take a study out of all pages, commands and the API; its name is free again.

    Judgments and events are never deleted: they stay in the database.
    """
    end(store, study, admin)
    with store.write() as session:
        lock_study(session, study)
        session.get_one(Study, study.id).name = f"{DELETED}{study.id}"
