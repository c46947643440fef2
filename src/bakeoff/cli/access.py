"""Commands around security: tokens for callers, the audit log, certificates to try TLS with."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup
from bakeoff.cli.tables import table
from bakeoff.core.moments import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakeoff.actions.forget import Forgotten

__all__ = ["add_to"]

HERE = Path()
FAULTY = 3
Id = Annotated[str, typer.Argument(metavar="TOKEN", help="Its id or its name.")]


def add_to(app: typer.Typer) -> None:
    """Add the groups around security to the app."""
    groups = {
        "tokens": (
            "Tokens for callers of servers; [auth] required = true asks for them.\n\nFor example: bakeoff tokens list",
            TOKENS,
        ),
        "audit": (
            "Who changed what: list it, verify that it is whole, export it.\n\nFor example: bakeoff audit list",
            AUDIT,
        ),
        "people": (
            "Accounts of people who sign in to pages.\n\nFor example: bakeoff people add ada --role viewer",
            PEOPLE,
        ),
        "keys": (
            "Keys that blobs and events are encrypted with ([store.encryption]).\n\nFor example: bakeoff keys list",
            KEYS,
        ),
        "certs": ("Certificates for TLS (dev: a local authority, to try it).\n\nFor example: bakeoff certs dev", CERTS),
    }
    for name, (help_text, commands) in groups.items():
        group = typer.Typer(name=name, help=help_text, cls=CommandGroup, no_args_is_help=True, rich_markup_mode=None)
        for command_name, command in commands.items():
            group.command(command_name)(command)
        app.add_typer(group)
    app.command()(forget)


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    *,
    role: Annotated[
        list[str],
        typer.Option("--role", metavar="ROLE", help="viewer, annotator, caller, contributor, operator, admin."),
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", metavar="KIND:NAME", help="What it reaches: endpoint:reviews, experiment:*, model:*."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="90d, 12h; never by default.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a token. Its text is shown this once; what is stored cannot be called with.

    For example: bakeoff tokens create nightly --role caller --scope endpoint:reviews --expires 90d
    """
    with open_project(folder) as project:
        token, text = project.create_token(name, roles=role, scopes=_scopes(scope), expires=expires)
        required = project.config.auth.required
    if as_json:
        emit({"token": asdict(token), "text": text})
        return
    typer.echo(text)
    typer.echo(f"token {token.id} ({token.name}): {', '.join(token.roles)}; shown this once, keep it", err=True)
    if not required:
        typer.echo("servers do not ask for tokens yet: set required = true in [auth]", err=True)


def list_tokens(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """All tokens, without their secrets.

    For example: bakeoff tokens list
    """
    from bakeoff.project.wiring import now_ms

    with open_project(folder) as project:
        tokens = project.tokens()
    if as_json:
        emit({"tokens": [asdict(token) for token in tokens]})
        return
    if not tokens:
        typer.echo("no tokens yet")
        next_step("tokens create NAME --role caller", folder)
        return
    rows = [
        (
            token.id,
            token.name,
            ", ".join(token.roles),
            ", ".join(token.scopes) or "everything",
            _moment(token.expires_ms) or "never ends",
            "valid" if token.valid(now_ms()) else "revoked" if token.revoked_ms is not None else "ended",
        )
        for token in tokens
    ]
    typer.echo(table(("id", "name", "roles", "scopes", "ends", "state"), rows))


def revoke(token: Id, *, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """End a token: every server refuses it within a second.

    For example: bakeoff tokens revoke nightly
    """
    with open_project(folder) as project:
        ended = project.revoke_token(token)
    if as_json:
        emit({"token": asdict(ended)})
    else:
        typer.echo(f"token {ended.id} ({ended.name}) is revoked")


def list_audit(
    *,
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="So many, the newest.")] = 50,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """The newest records of the audit log.

    For example: bakeoff audit list --last 20
    """
    with open_project(folder) as project:
        records = project.audit.last(last)
    if as_json:
        emit({"records": [record.to_json() for record in records]})
        return
    rows = [
        (str(each.number), _moment(each.time_ms), each.who, each.action, each.subject, each.origin) for each in records
    ]
    typer.echo(table(("no", "when", "who", "what", "of", "from"), rows) if rows else "nothing was changed yet")


def verify(
    *,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HEAD", help="A head that an earlier verification printed, kept elsewhere."),
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """See whether any record of the audit log was edited, deleted or cut off; ends with 3 when one was.

    For example: bakeoff audit verify --head 12:3fa9…
    """
    from bakeoff.core.errors import StoreError
    from bakeoff.security.audit import AuditHead

    known = None if head is None else AuditHead.parsed(head)
    with open_project(folder) as project:
        faults = project.audit.verify(known)
        try:
            now = project.audit.head()
        except StoreError:  # which is among the faults
            now = None
    if as_json:
        emit({"faults": faults, "head": None if now is None else str(now)})
    else:
        for fault in faults:
            typer.echo(fault)
        count = "no head" if now is None else f"{now.count} records"
        typer.echo(f"{count}, {len(faults)} faults" + ("" if now is None else f"; head {now}"))
    if faults:
        raise typer.Exit(FAULTY)


def export(
    *,
    shape: Annotated[str, typer.Option("--format", metavar="FORMAT", help="jsonl or cef.")] = "jsonl",
    folder: Folder = HERE,
) -> None:
    """The whole audit log on stdout, as JSON lines or in the Common Event Format.

    For example: bakeoff audit export --format cef
    """
    import json

    import bakeoff
    from bakeoff.core.errors import UsageError
    from bakeoff.security.audit import as_cef

    if shape not in {"jsonl", "cef"}:
        raise UsageError(f"expected --format jsonl or cef, received {shape!r}")
    with open_project(folder) as project:
        for record in project.audit.records():
            typer.echo(json.dumps(record.to_json()) if shape == "jsonl" else as_cef(record, bakeoff.__version__))


def deps(
    *,
    database: Annotated[
        Path | None,
        typer.Option("--database", metavar="PATH", help="OSV records: a folder, or PyPI's all.zip of osv.dev."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="PACKAGE", help="Whose licence was looked at and is accepted."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Packages that are installed here: files that were changed, licences, known vulnerabilities. Ends with 3 for any.

    For example: bakeoff audit deps --database all.zip
    """
    from bakeoff.environment.distributions import installed
    from bakeoff.environment.vulnerabilities import audited

    packages, accepted = installed(), set(allow or ())
    changed = [each for each in packages if each.changed]
    strict = [each for each in packages if each.terms in {"strong", "unknown"} and each.name not in accepted]
    versions = {each.name: each.version for each in packages}
    known = () if database is None else audited(versions, database).vulnerabilities
    if as_json:
        emit({"packages": [asdict(each) for each in packages], "vulnerabilities": [asdict(each) for each in known]})
    else:
        rows = [(each.name, each.version, "changed", ", ".join(each.changed[:3])) for each in changed]
        rows += [(each.name, each.version, f"licence: {each.terms}", each.licence or "none stated") for each in strict]
        rows += [(each.package, each.version, each.id, each.summary) for each in known]
        if rows:
            typer.echo(table(("package", "version", "what", "which"), rows))
        unrecorded = sum(not each.recorded for each in packages)
        looked = "vulnerabilities were not looked for (--database)" if database is None else f"{len(known)} vulnerable"
        typer.echo(
            f"{len(packages)} packages: {len(changed)} with changed files, {len(strict)} with a licence to look at, "
            f"{looked}; {unrecorded} have no record of their files"
        )
    if changed or strict or known:
        raise typer.Exit(FAULTY)


def dev(
    into: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder for the files.")] = Path("certificates"),
    *,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="NAME", help="A host name or address; localhost by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a certificate and key of a local authority, to try TLS with; never for others.

    For example: bakeoff certs dev certificates --name localhost
    """
    from bakeoff.security.certificates import local_authority

    made = local_authority(into, *([name] if name else []))
    authority = into / "authority.pem"
    if as_json:
        emit({"certificate": str(made.certificate), "key": str(made.key), "authority": str(authority)})
    else:
        typer.echo(f'[tls]\ncertificate = "{made.certificate}"\nkey = "{made.key}"')
        typer.echo(f"clients trust it by {authority}, for example: curl --cacert {authority} …", err=True)


def forget(
    key: Annotated[str, typer.Argument(metavar="KEY", help="What the person's rows hold: an address, a number.")],
    *,
    models: Annotated[
        bool, typer.Option("--models", help="Remove models whose files hold the key, unless an endpoint serves them.")
    ] = False,
    look: Annotated[bool, typer.Option("--look", help="Erase nothing: list what holds the key.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Erase a person from log, feedback, datasets, records and caches; ends with 3 when files hold the key still.

    For example: bakeoff forget ada@example.org
    """
    with open_project(folder) as project:
        if look:
            remaining = tuple(project.holding(key))
            result = None
        else:
            result = project.forget(key, models=models)
            remaining = result.remaining
    if as_json:
        emit({"remaining": list(remaining)} if result is None else asdict(result))
    else:
        _show_forgotten(result, remaining)
    if remaining:
        raise typer.Exit(FAULTY)


def _show_forgotten(result: "Forgotten | None", remaining: "Sequence[str]") -> None:
    if result is not None:
        rows = sum(result.records.values())
        typer.echo(
            f"erased {result.events} events, {rows} rows and values of records, parts of {result.blobs} blobs and "
            f"{result.files} files of caches"
        )
        if result.models:
            marks = [("version", "its files hold the key", "an endpoint serves it", "removed")]
            cells = [
                (m.version, *("yes" if each else "" for each in (m.holds, m.live, m.removed))) for m in result.models
            ]
            typer.echo("learned from this person:")
            typer.echo(table(marks[0], cells))
            typer.echo("'bakeoff run' makes models of the rows that are left")
    for path in remaining:
        typer.echo(f"still holds it: {path}")
    if not remaining:
        typer.echo("no file of the project holds it")


def _scopes(given: "Sequence[str] | None") -> list[str]:
    """Scopes, several of which may stand in one option."""
    return [part for each in given or () for part in each.split(",")]


def _moment(time_ms: int | None) -> str:
    return "" if time_ms is None else moment(time_ms, seconds=True)


def add_person(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As the person signs in.")],
    *,
    role: Annotated[list[str], typer.Option("--role", metavar="ROLE", help="As those of tokens.")],
    scope: Annotated[
        list[str] | None, typer.Option("--scope", metavar="KIND:NAME", help="What is within reach, as of tokens.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make an account; the password is asked for, or read from stdin where that is no terminal.

    For example: bakeoff people add ada --role viewer
    """
    import sys

    if sys.stdin.isatty():
        password = str(typer.prompt("password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline()
    with open_project(folder) as project:
        account = project.add_person(name, password.rstrip("\n"), roles=role, scopes=_scopes(scope))
    if as_json:
        emit({"person": asdict(account)})
    else:
        typer.echo(f"{account.name} may sign in as {', '.join(account.roles)}")


def list_people(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """All accounts.

    For example: bakeoff people list
    """
    with open_project(folder) as project:
        people = project.people()
    if as_json:
        emit({"people": [asdict(each) for each in people]})
        return
    rows = [
        (each.name, ", ".join(each.roles), ", ".join(each.scopes) or "everything", _moment(each.created_ms))
        for each in people
    ]
    typer.echo(table(("name", "roles", "scopes", "since"), rows) if rows else "no accounts yet")


def remove_person(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose account.")],
    *,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Take an account away; its sessions end within a second.

    For example: bakeoff people remove ada
    """
    with open_project(folder) as project:
        account = project.remove_person(name)
    if as_json:
        emit({"person": asdict(account)})
    else:
        typer.echo(f"{account.name} may not sign in any more")


def create_key(
    *,
    show: Annotated[
        bool, typer.Option("--show", help="Write no file: print a new key, for a variable or a secret store.")
    ] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Make a first key, in the key_file of [store.encryption]. Keep a copy: without it nothing can be read.

    For example: bakeoff keys create
    """
    if show:
        from bakeoff.stores.encryption import new_key

        key = new_key()
        emit({"key": key}) if as_json else typer.echo(key)
        return
    with open_project(folder) as project:
        key_id = project.create_key()
    emit({"id": key_id}) if as_json else typer.echo(f"key {key_id} is made; keep a copy of its file")


def list_keys(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """The ids of the keys, the newest first; that one is written with.

    For example: bakeoff keys list
    """
    with open_project(folder) as project:
        ids, source = project.keyring.ids(), project.keyring.source
    if as_json:
        emit({"keys": ids, "source": source if ids else None})
    elif ids:
        rows = [(key_id, "writes and reads" if at == 0 else "reads") for at, key_id in enumerate(ids)]
        typer.echo(table(("id", "what it does"), rows))
        typer.echo(f"of {source}", err=True)
    else:
        typer.echo("blobs and events are not encrypted: name a key in [store.encryption]")


def rotate_key(*, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Put a new key before the others of the key_file. Nothing is written again; the old ones read what they wrote.

    For example: bakeoff keys rotate
    """
    with open_project(folder) as project:
        key_id = project.rotate_key()
    if as_json:
        emit({"id": key_id})
        return
    typer.echo(f"key {key_id} is written with from now on; servers take it when they start anew")
    next_step("keys encrypt", folder)


def encrypt(
    *,
    look: Annotated[bool, typer.Option("--look", help="Write nothing: count it.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write again what is plain or under an older key, while others work.

    Older keys may go once all servers have started anew since 'keys rotate', and --look then counts nothing.

    For example: bakeoff keys encrypt
    """
    with open_project(folder) as project:
        result = project.encrypt(look=look)
    if as_json:
        emit(asdict(result))
        return
    done = "are not under the newest key" if look else "were written again"
    typer.echo(f"{result.objects} objects of blobs and {result.events} files or rows of events {done}")
    if result.open:
        typer.echo(f"{result.open} files of events are being written: do it again when servers have started anew")
    if result.damaged:
        typer.echo(f"{result.damaged} damaged objects were left: bakeoff verify names them")
    if not look and not result.open and not result.damaged:
        typer.echo(
            "older keys may go, once every server has started anew since the rotation, 'bakeoff keys encrypt --look' "
            "counts nothing, and no backup needs them"
        )


KEYS = {"create": create_key, "list": list_keys, "rotate": rotate_key, "encrypt": encrypt}
PEOPLE = {"add": add_person, "list": list_people, "remove": remove_person}
TOKENS = {"create": create, "list": list_tokens, "revoke": revoke}
AUDIT = {"list": list_audit, "verify": verify, "export": export, "deps": deps}
CERTS = {"dev": dev}
