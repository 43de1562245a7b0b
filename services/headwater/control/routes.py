"""The one route table: rows only. The server and the OpenAPI document are made from it."""

from headwater.contracts.messages import RunRequest
from headwater.control import (
    config_routes,
    dead_letters,
    home,
    keys,
    planning,
    previews,
    runs,
    schedule_changes,
    schedules,
    source_changes,
    streams,
    tenants,
)
from headwater.control.documents import Part
from headwater.control.frame import API
from headwater.control.paging import ListQuery, Page
from headwater.control.route import ManifestText, Route
from headwater.control.webhook_routes import webhook_rows

_SCHEDULE = f"{API}/schedules/{{schedule}}"
_STREAM = f"{API}/sources/{{source}}/streams/{{stream}}"


def route_table(overview: home.Overview) -> tuple[Route, ...]:
    """Every row of the API."""
    return (
        Route("GET", "/", home.make_home(overview), "What runs here, how it is, and where to go", None, home.Home,
              tag="service"),
        Route("GET", f"{API}/health", home.make_health(overview), "Whether database and bus answer", None, home.Health,
              tag="service"),

        Route("GET", f"{API}/tenants", tenants.list_tenants, "Tenants", "read", Page[tenants.Tenant],
              query=ListQuery, tag="tenants"),
        Route("POST", f"{API}/tenants", tenants.create_tenant, "Make a tenant", "admin", tenants.Tenant,
              body=tenants.NewTenant, status=201, tag="tenants", problems=(409,)),
        Route("GET", f"{API}/tenants/{{tenant}}", tenants.show_tenant, "One tenant", "read", tenants.Tenant,
              tag="tenants"),
        Route("POST", f"{API}/tenants/{{tenant}}/broker-user", tenants.create_broker_user,
              "Make the tenant's broker user, or give it a new password", "admin", tenants.BrokerUser,
              tag="tenants", problems=(409,)),

        Route("GET", f"{API}/keys", keys.list_keys, "API keys, without their secrets", "admin", Page[keys.Key],
              query=ListQuery, tag="keys"),
        Route("POST", f"{API}/keys", keys.create_key, "Make an API key; it is shown this once", "admin",
              keys.CreatedKey, body=keys.NewKey, status=201, keyed=True, tag="keys", problems=(409,)),
        Route("GET", f"{API}/keys/{{key}}", keys.show_key, "One API key, without its secret", "admin", keys.Key,
              tag="keys"),
        Route("DELETE", f"{API}/keys/{{key}}", keys.revoke_key, "Revoke an API key", "admin", None, status=204,
              tag="keys", problems=(409,)),

        Route("GET", f"{API}/sources", streams.list_sources, "Sources", "read", Page[streams.Source],
              query=ListQuery, tag="sources"),
        Route("POST", f"{API}/sources", source_changes.create_source, "Make a source with its streams", "write",
              streams.Source, body=Part, status=201, tag="sources", problems=(409,)),
        Route("GET", f"{API}/sources/{{source}}", source_changes.show_source, "One source", "read", streams.Source,
              matched=True, tag="sources"),
        Route("PUT", f"{API}/sources/{{source}}", source_changes.put_source, "Make or replace a source", "write",
              streams.Source, body=Part, matched=True, tag="sources", problems=(409,)),
        Route("PATCH", f"{API}/sources/{{source}}", source_changes.patch_source, "Change parts of a source", "write",
              streams.Source, body=Part, matched=True, tag="sources", problems=(409,)),
        Route("DELETE", f"{API}/sources/{{source}}", source_changes.delete_source,
              "Remove a source with its streams; tables and history stay", "write", None,
              query=schedule_changes.Cascade, status=204, matched=True, tag="sources", problems=(409,)),
        Route("GET", f"{API}/sources/{{source}}/streams", streams.list_streams, "The streams of a source", "read",
              Page[streams.Stream], query=ListQuery, tag="sources"),
        Route("POST", f"{API}/sources/{{source}}/streams", source_changes.create_stream, "Make a stream", "write",
              streams.Stream, body=Part, status=201, tag="sources", problems=(409,)),
        Route("GET", _STREAM, source_changes.show_stream, "One stream", "read", streams.Stream, matched=True,
              tag="sources"),
        Route("PUT", _STREAM, source_changes.put_stream, "Make or replace a stream", "write", streams.Stream,
              body=Part, matched=True, tag="sources"),
        Route("PATCH", _STREAM, source_changes.patch_stream, "Change parts of a stream", "write", streams.Stream,
              body=Part, matched=True, tag="sources"),
        Route("DELETE", _STREAM, source_changes.delete_stream, "Remove a stream; its table and history stay", "write",
              None, query=schedule_changes.Cascade, status=204, matched=True, tag="sources", problems=(409,)),
        Route("GET", f"{_STREAM}/cursor", streams.show_cursor, "How far a stream has been read", "read",
              streams.Cursor, matched=True, tag="sources"),
        Route("PUT", f"{_STREAM}/cursor", streams.set_cursor, "Say where the next incremental run begins", "write",
              streams.Cursor, body=streams.NewCursor, matched=True, tag="sources"),
        Route("DELETE", f"{_STREAM}/cursor", streams.reset_cursor, "Forget how far a stream has been read", "write",
              None, status=204, matched=True, tag="sources"),
        Route("POST", f"{_STREAM}/preview", previews.preview_stream,
              "The first pages of a stream, asked for and shown; nothing is written", "run", previews.StreamPreview,
              query=previews.PreviewQuery, problems=(422,), tag="sources"),

        Route("GET", f"{API}/schedules", schedules.list_schedules, "Schedules", "read", Page[schedules.Schedule],
              query=schedules.SchedulesQuery, tag="schedules"),
        Route("POST", f"{API}/schedules", schedule_changes.create_schedule, "Make a schedule", "write",
              schedules.Schedule, body=Part, status=201, tag="schedules", problems=(409,)),
        Route("GET", _SCHEDULE, schedule_changes.show_schedule, "One schedule", "read", schedules.Schedule,
              matched=True, tag="schedules"),
        Route("PUT", _SCHEDULE, schedule_changes.put_schedule, "Make or replace a schedule", "write",
              schedules.Schedule, body=Part, matched=True, tag="schedules"),
        Route("PATCH", _SCHEDULE, schedule_changes.patch_schedule, "Change parts of a schedule", "write",
              schedules.Schedule, body=Part, matched=True, tag="schedules"),
        Route("DELETE", _SCHEDULE, schedule_changes.delete_schedule, "Remove a schedule; its runs stay", "write",
              None, query=schedule_changes.Cascade, status=204, matched=True, tag="schedules", problems=(409,)),
        Route("POST", f"{API}/schedules/preview", schedules.preview_schedule,
              "The next due times of a specification; nothing is written", "read", schedules.Preview,
              body=schedules.PreviewRequest, tag="schedules"),

        Route("GET", f"{API}/runs", runs.list_runs, "Runs, newest first", "read", Page[runs.Run],
              query=runs.RunsQuery, tag="runs"),
        Route("POST", f"{API}/runs", runs.create_run, "Start a run", "run", runs.RunStarted, body=RunRequest,
              status=202, keyed=True, tag="runs"),
        Route("GET", f"{API}/runs/{{run}}", runs.show_run, "One run", "read", runs.Run, tag="runs"),
        Route("GET", f"{API}/runs/{{run}}/pages", runs.list_pages, "The pages of a run, in order", "read",
              Page[runs.RunPage], query=ListQuery, tag="runs"),
        Route("POST", f"{API}/runs/{{run}}/cancel", runs.cancel_run, "Cancel a run", "run", runs.Run, tag="runs",
              problems=(409,)),
        Route("POST", f"{API}/runs/{{run}}/rerun", runs.rerun_run, "Run it again: same boundary, next generation",
              "run", runs.RunStarted, status=202, keyed=True, tag="runs", problems=(409,)),

        *webhook_rows(),

        Route("GET", f"{API}/dead-letters", dead_letters.list_dead_letters, "Dead letters, newest first", "read",
              Page[dead_letters.DeadLetter], query=dead_letters.DeadLettersQuery, tag="dead letters"),
        Route("GET", f"{API}/dead-letters/{{letter}}", dead_letters.show_dead_letter,
              "One dead letter with its message", "read", dead_letters.DeadLetterDetail, tag="dead letters"),
        Route("POST", f"{API}/dead-letters/{{letter}}/replay", dead_letters.replay_dead_letter,
              "Let it go its way again", "run", dead_letters.Replayed, tag="dead letters", problems=(409,)),
        Route("POST", f"{API}/dead-letters/{{letter}}/discard", dead_letters.discard_dead_letter, "Discard it",
              "write", dead_letters.DeadLetter, tag="dead letters", problems=(409,)),

        Route("POST", f"{API}/config/validate", config_routes.validate_config,
              "Check a manifest; nothing is written", "read", config_routes.Valid, body=ManifestText, tag="config"),
        Route("POST", f"{API}/config/plan", config_routes.plan_config,
              "What a manifest would change; nothing is written", "read", planning.Plan, body=ManifestText,
              tag="config"),
        Route("POST", f"{API}/config/import", config_routes.import_config, "Bring a manifest into force", "write",
              config_routes.Imported, body=ManifestText, tag="config"),
        Route("GET", f"{API}/config/export", config_routes.export_config,
              "The tenant's configuration as a manifest; secrets are only named", "read",
              config_routes.ExportedManifest, query=config_routes.ExportQuery, tag="config"),
    )  # fmt: skip
