"""``twin user``: who may sign in to the twin of a stage, while no server runs; a running one has a page for it."""

from __future__ import annotations

import getpass
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.core.errors import InputError

if TYPE_CHECKING:
    from twin.collab import Users

app = typer.Typer(add_completion=False, no_args_is_help=True)
Stage = Annotated[Path, typer.Argument(help="The stage.")]
Name = Annotated[str, typer.Argument(help="What the person signs in as.")]
Project = Annotated[Path | None, typer.Option(help="Project folder; default: the one that serve uses for the stage.")]
AssetRoot = Annotated[Path | None, typer.Option(help="Folder that every asset must lie in.")]


@contextmanager
def _users(stage: Path, project: Path | None, asset_root: Path | None) -> Iterator[Users]:
    from twin.collab import Access, Journal, Users
    from twin.collab.journal import unreadable
    from twin.scene import project_folder

    journal = Journal(project or project_folder(stage, asset_root))
    try:
        yield Users(journal, Access(journal, ""))
    except sqlite3.DatabaseError as error:
        raise unreadable(journal.project, error) from error
    finally:
        journal.close()


@app.command()
def add(
    stage: Stage,
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, operator, editor or admin.")] = "admin",
    project: Project = None,
    asset_root: AssetRoot = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """A new user, or another role or password for one."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("Again: ") != password:
            raise InputError("the two passwords differ", attribute="password")
    else:
        raise InputError("there is no terminal to ask for the password", attribute="--password-stdin")
    with _users(stage, project, asset_root) as users:
        user = users.put(name, role, password, author="twin user")
    print(f"{user.name} may sign in as {user.role}")


@app.command("list")
def list_users(
    stage: Stage,
    project: Project = None,
    asset_root: AssetRoot = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Everybody who may sign in."""
    with _users(stage, project, asset_root) as users:
        found = users.all()
    if as_json:
        print(json.dumps([{"name": user.name, "role": user.role} for user in found]))
        return
    for user in found:
        print(f"{user.name}\t{user.role}")


@app.command()
def remove(stage: Stage, name: Name, project: Project = None, asset_root: AssetRoot = None) -> None:
    """The user may sign in no more."""
    with _users(stage, project, asset_root) as users:
        users.delete(name, author="twin user")
    print(f"{name} may sign in no more")
