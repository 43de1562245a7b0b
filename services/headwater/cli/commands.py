"""The commands that do one thing and end."""

import argparse
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict

from headwater.app.ground import find_means, prepare_database
from headwater.app.services import keep_of
from headwater.cli.exits import Exit
from headwater.cli.faults import run_and_report
from headwater.cli.opening import choose_folder, open_api, open_means
from headwater.cli.printing import print_fields, print_json, print_table
from headwater.cli.resource_parsers import RESOURCES
from headwater.model.errors import ConfigError
from headwater.model.secret import Secret
from headwater.settings import Settings, read_settings
from headwater.store import retention
from headwater.store.database import Database
from headwater.store.migrate import status
from headwater.telemetry.logs import set_up_logs

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]


def execute(chosen: argparse.Namespace) -> int:
    """Run one command; gives the exit code."""
    return run_and_report(_execute(chosen))


async def _execute(chosen: argparse.Namespace) -> int:
    settings = read_settings()
    set_up_logs("warning", settings.log_format)
    return await _COMMANDS[chosen.command](chosen, settings)


async def _manifests(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.manifests import MANIFEST_COMMANDS  # noqa: PLC0415 - the checks are half of all that is loaded

    return await MANIFEST_COMMANDS[chosen.command](chosen, settings)


async def _life(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.living import execute_life  # noqa: PLC0415 - only these commands need it

    return await execute_life(chosen, settings)


async def _runs(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli import looking  # noqa: PLC0415 - only these commands need it

    if chosen.verb not in looking.RUN_VERBS:
        return await _life(chosen, settings)
    async with AsyncExitStack() as stack:
        _, api = await open_api(settings, stack, tenant=chosen.tenant)
        return await looking.RUN_VERBS[chosen.verb](chosen, api)


async def _resources(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.resources import execute_resources  # noqa: PLC0415 - only these commands need it

    return await execute_resources(chosen, settings)


async def _webhooks(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.webhooks import execute_webhooks  # noqa: PLC0415 - only these commands need it

    return await execute_webhooks(chosen, settings)


async def _notifications(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.telling import execute_notifications  # noqa: PLC0415 - only this command needs it

    return await execute_notifications(chosen, settings)


async def _monitor(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.monitoring import monitor  # noqa: PLC0415 - only this command needs it

    return await monitor(chosen, settings)


async def _listen(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.listening import listen  # noqa: PLC0415 - only this command needs it

    return await listen(chosen, settings)


async def _destinations(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.destinations import VERBS  # noqa: PLC0415 - only this command needs it

    async with AsyncExitStack() as stack:
        _, api = await open_api(settings, stack, tenant=chosen.tenant)
        return await VERBS[chosen.verb](chosen, api)


async def _hostile(chosen: argparse.Namespace, _: Settings) -> int:
    from headwater.cli.hostile import hostile_api  # noqa: PLC0415 - only this command needs it

    return await hostile_api(chosen)


async def _preview(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.previewing import preview_stream  # noqa: PLC0415 - only this command needs it
    from headwater.cli.schedules import is_about_times, preview_times  # noqa: PLC0415 - as above

    manifest = None
    if chosen.manifest is not None:
        from headwater.cli.manifests import checked  # noqa: PLC0415 - only where a manifest is given

        chosen.file = chosen.manifest
        manifest, _ = checked(chosen)
    if is_about_times(chosen):
        return await preview_times(chosen, settings, manifest)
    if chosen.stream is None:
        raise ConfigError(
            "name a stream (source.stream), a schedule (--schedule), or times (--cron, --interval, …)"
        )
    return await preview_stream(chosen, settings, manifest)


async def _schedules(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.schedules import execute_schedules, is_own  # noqa: PLC0415 - only these commands need it

    if not is_own(chosen):
        return await _life(chosen, settings)
    return await execute_schedules(chosen, settings)


async def _import(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.importing import execute_import  # noqa: PLC0415 - only this command needs it

    return await execute_import(chosen, settings)


async def _topology(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.app.attach import amqp_of  # noqa: PLC0415 - only this command needs it
    from headwater.bus.rabbitmq import apply_topology, check_topology  # noqa: PLC0415 - as above

    url = amqp_of(settings)
    if url is None:
        raise ConfigError(
            f"HEADWATER_AMQP_URL is not set, and no `headwater up --rabbitmq` runs on {settings.data_dir}: "
            "the embedded bus needs no topology"
        )
    work = apply_topology if chosen.verb == "apply" else check_topology
    await work(url)
    print("the topology is applied" if chosen.verb == "apply" else "the topology is in place")
    return Exit.OK


async def _db(chosen: argparse.Namespace, settings: Settings) -> int:
    if chosen.verb == "cleanup":
        async with open_means(settings) as means:
            await _clean_up(chosen, settings, means.database_url)
        return Exit.OK
    choose_folder(settings, sets_up=chosen.verb == "migrate")
    async with find_means(settings, is_brief=True) as means:
        if chosen.verb == "migrate":
            applied = await prepare_database(settings, means, may_migrate=True)
            lines = [f"applied {name}" for name in applied] or ["the database is up to date"]
            return _told(chosen, {"applied": applied}, lines)
        have, missing = await status(means.database_url.text())
        lines = [*(f"applied  {name}" for name in have), *(f"missing  {name}" for name in missing)]
        _told(chosen, {"applied": have, "missing": missing}, lines)
        return Exit.FAILURE if missing else Exit.OK


def _told(chosen: argparse.Namespace, document: dict[str, list[str]], lines: list[str]) -> int:
    print_json(document) if chosen.json else print("\n".join(lines))
    return Exit.OK


async def _clean_up(chosen: argparse.Namespace, settings: Settings, url: Secret) -> None:
    worker = Database(url, "headwater_worker", size=1)
    await worker.open()
    try:
        if chosen.dry_run:
            async with worker.connection() as connection:
                removals = await retention.plan(connection, keep_of(settings))
        else:
            removals = await retention.clean(worker, keep_of(settings))
    finally:
        await worker.close()
    if chosen.json:
        print_json({"dry_run": chosen.dry_run, "removals": [asdict(each) for each in removals]})
        return
    columns = ("table", "tenant", "endpoint", "day", "older_than_days", "count")
    nothing = "nothing is older than it is kept"
    print_table(columns, ([getattr(each, name) for name in columns] for each in removals), empty=nothing)
    if removals:
        rows = sum(each.count for each in removals)
        print(f"{rows} rows {'would go; nothing was removed' if chosen.dry_run else 'went'}")


async def _doctor(chosen: argparse.Namespace, settings: Settings) -> int:
    from headwater.cli.doctor import examine  # noqa: PLC0415 - only this command needs it

    return await examine(chosen, settings)


async def _config(chosen: argparse.Namespace, settings: Settings) -> int:
    if chosen.verb != "show":
        from headwater.cli.snapshots import execute_snapshots  # noqa: PLC0415 - only these verbs need it

        return await execute_snapshots(chosen, settings)
    shown = {
        "HEADWATER_DATABASE_URL": "set (hidden)" if settings.database_url else "not set: embedded PostgreSQL",
        "HEADWATER_AMQP_URL": "set (hidden)" if settings.amqp_url else "not set: embedded bus in PostgreSQL",
        "HEADWATER_RABBITMQ_MANAGEMENT_URL": "set (hidden)" if settings.management_url else "not set",
        "HEADWATER_SECRET_KEY": "set (hidden)" if settings.secret_key else "not set: kept in the data folder",
        "HEADWATER_ADMIN_KEY": "set (hidden)" if settings.admin_key else "not set: made at the first start",
        "HEADWATER_BIND": settings.bind,
        "HEADWATER_PUBLIC_URL": settings.public_url,
        "HEADWATER_TRUSTED_PROXIES": ", ".join(settings.trusted_proxies) or "none",
        "HEADWATER_SNAPSHOT_MAX_AGE_S": f"{settings.snapshot_max_age_s:g}",
        "HEADWATER_SMTP_URL": "set (hidden)"
        if settings.smtp_url
        else "not set: mails need `smtp` in their target",
        "HEADWATER_SMTP_FROM": settings.smtp_from or "not set",
        "HEADWATER_CALLBACK_ALLOW": ", ".join(settings.callback_allow) or "none",
        "HEADWATER_RETENTION_RUNS_DAYS": str(settings.retention_runs_days),
        "HEADWATER_RETENTION_NOTIFICATIONS_DAYS": str(settings.retention_notifications_days),
        "HEADWATER_RETENTION_DEAD_LETTERS_DAYS": str(settings.retention_dead_letters_days),
        "HEADWATER_RETENTION_AUDIT_DAYS": str(settings.retention_audit_days),
        "HEADWATER_LOG_LEVEL": settings.log_level,
        "HEADWATER_LOG_FORMAT": settings.log_format,
        "HEADWATER_DATA_DIR": str(settings.data_dir),
        "HEADWATER_START_TIMEOUT_S": f"{settings.start_timeout_s:g}",
    }
    if chosen.json:
        print_json(shown)
    else:
        print_fields(shown)
    return Exit.OK


_COMMANDS: dict[str, Command] = {
    **dict.fromkeys(("validate", "apply", "plan", "export"), _manifests),
    "preview": _preview,
    "schedules": _schedules,
    "calendars": _schedules,
    "import": _import,
    "runs": _runs,
    **dict.fromkeys(("backfills", "stats"), _life),
    **dict.fromkeys(("refusals", "deliveries", "replays", "endpoints", "secrets", "presets"), _webhooks),
    **dict.fromkeys(RESOURCES, _resources),
    "notifications": _notifications,
    "monitor": _monitor,
    "listen": _listen,
    "destinations": _destinations,
    "hostile-api": _hostile,
    "topology": _topology,
    "db": _db,
    "doctor": _doctor,
    "config": _config,
}
