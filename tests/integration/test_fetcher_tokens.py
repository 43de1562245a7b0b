"""Access tokens: asked for once over all workers, stored before they are used, never lost, never seen."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from tests.support.spine import Spine, open_spine, working
from tests.support.token_api import TokenApi, claims_of
from tests.support.walk_driver import SettableClock

from headwater.app.clock import SystemClock
from headwater.fetcher.definitions import Definitions
from headwater.fetcher.service import Fetcher
from headwater.fetcher.tokens import Tokens
from headwater.http.client import HttpClient
from headwater.store import runs
from headwater.store.bell import Bell
from headwater.store.runs import NewRun

CLIENT = {"type": "oauth2", "client_id": "us", "client_secret": "client-secret-1"}
REFRESH = CLIENT | {"grant": "refresh_token", "refresh_token": "first-refresh-token"}


def manifest(api: TokenApi, auth: dict[str, Any], streams: int = 1) -> str:
    import json

    place = (
        {"login_url": api.url("/login")} if auth["type"] == "session" else {"token_url": api.url("/token")}
    )
    stream = {
        "request": {"path": "things"},
        "pagination": {"type": "offset", "size": 10},
        "records": {"path": "items"},
    }
    source = {
        "name": "api",
        "base_url": api.url(),
        "auth": auth | place,
        "network": {"allow": ["127.0.0.0/8"]},
        "streams": [
            stream
            | {"name": f"s{number}", "destination": {"table": f"s{number}", "mode": "merge", "key": "id"}}
            for number in range(streams)
        ],
    }
    return json.dumps({"version": 1, "sources": [source]})


async def start(spine: Spine, stream: str = "s0", key: str = "", attempts: int = 1) -> UUID:
    run = NewRun("default", "api", stream, datetime.now(UTC), "api", key=key, attempts_max=attempts)
    async with spine.worker.transaction() as connection:
        return await runs.insert(connection, run)


async def ended(spine: Spine, run_id: UUID) -> Any:
    return await spine.until("SELECT * FROM run WHERE id = $1 AND finished_at IS NOT NULL", run_id)


async def test_all_streams_and_workers_share_one_token(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, CLIENT, streams=8))

        async with working(spine, "timer", "fetcher", "fetcher", "fetcher", "persister"):
            started = [await start(spine, f"s{number}") for number in range(8)]
            states = [(await ended(spine, run_id))["state"] for run_id in started]

        assert states == ["succeeded"] * 8
        assert len(api.asked) == 1
        assert api.asked[0]["grant_type"] == "client_credentials"
        assert api.asked[0]["authorization"].startswith("Basic ")


async def test_a_rotating_refresh_token_is_used_once_each_time(database: str) -> None:
    async with TokenApi(count=200, uses=4) as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))

        async with working(spine, "timer", "fetcher", "fetcher", "persister"):
            run = await ended(spine, await start(spine))

        assert (run["state"], run["received"]) == ("succeeded", 200)
        assert api.refused == []
        used = [fields["refresh_token"] for fields in api.asked]
        assert len(used) == len(set(used)) >= 5
        assert used[:2] == ["first-refresh-token", "refresh-token-1"]


async def test_a_token_that_is_refused_is_renewed_once_then_the_run_fails(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, CLIENT))
        api.accepts = False

        async with working(spine):
            run = await ended(spine, await start(spine))

        assert (run["state"], run["error_kind"]) == ("failed", "unauthorized")
        assert (api.things_count, len(api.asked)) == (2, 2)


async def test_a_refresh_that_is_refused_fails_the_run_and_tells_why(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH | {"refresh_token": "revoked-token"}))

        async with working(spine):
            run = await ended(spine, await start(spine))

        assert (run["state"], run["error_kind"]) == ("failed", "token_failed")
        assert "invalid_grant" in run["error_message"]
        assert "revoked-token" not in run["error_message"]


async def test_a_new_refresh_token_in_the_manifest_takes_the_place_of_the_rotated_one(database: str) -> None:
    async with TokenApi(uses=20) as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        async with working(spine):
            assert (await ended(spine, await start(spine)))["state"] == "succeeded"
            api.refresh = "granted-anew"
            await spine.apply(manifest(api, REFRESH | {"refresh_token": "granted-anew"}))

            run = await ended(spine, await start(spine, key="2"))

        assert run["state"] == "succeeded"
        assert [fields["refresh_token"] for fields in api.asked] == ["first-refresh-token", "granted-anew"]


async def test_the_manifest_applied_again_keeps_the_rotated_token(database: str) -> None:
    async with TokenApi(uses=7) as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        async with working(spine):
            assert (await ended(spine, await start(spine)))["state"] == "succeeded"
            await spine.apply(manifest(api, REFRESH | {"scope": "more"}))

            run = await ended(spine, await start(spine, key="2"))

        assert run["state"] == "succeeded"
        assert api.refused == []
        assert api.asked[-1]["scope"] == "more"


async def test_a_worker_that_ends_in_mid_refresh_loses_no_token(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        api.held.clear()
        async with working(spine, "timer", "persister"), Bell(spine.worker).running() as bell:
            run_id = await start(spine)
            fetcher = Fetcher(spine.worker, spine.bus, spine.keyring, bell, SystemClock(), spine.metrics)
            killed = asyncio.create_task(fetcher.run(asyncio.Event()))
            async with asyncio.timeout(20):
                await api.arrived.wait()
            killed.cancel()
            await asyncio.wait({killed}, timeout=0.1)
            api.held.set()
            await asyncio.wait({killed}, timeout=20)
            assert killed.cancelled()

            async with working(spine, "fetcher"):
                run = await ended(spine, run_id)

        assert run["state"] == "succeeded"
        assert [fields["refresh_token"] for fields in api.asked] == ["first-refresh-token"]


async def test_a_token_is_stored_however_often_the_database_fails(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        async with spine.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE NONE")
            await connection.execute("""
                CREATE SEQUENCE headwater.failures;
                GRANT USAGE ON SEQUENCE headwater.failures TO headwater_worker;
                CREATE FUNCTION headwater.fail() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN
                    IF new.sealed IS DISTINCT FROM old.sealed AND nextval('headwater.failures') <= 3 THEN
                        RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure';
                    END IF;
                    RETURN new;
                END $$;
                CREATE TRIGGER fail BEFORE UPDATE ON headwater.source_token FOR EACH ROW EXECUTE FUNCTION headwater.fail();
            """)

        async with working(spine):
            run = await ended(spine, await start(spine))

        assert run["state"] == "succeeded"
        assert len(api.asked) == 1
        assert (await spine.row("SELECT version, lease FROM source_token"))["version"] == 1


async def test_a_lease_that_ran_out_is_taken_over(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, CLIENT))
        clock = SystemClock()
        version = await spine.worker.fetchval("SELECT version_id FROM stream")
        definitions = Definitions(spine.worker, spine.keyring)
        known = await definitions.get(version)
        secrets = await definitions.secrets(known)
        api.held.clear()
        async with (
            HttpClient(clock) as http,
            Tokens(spine.worker, http, spine.keyring, clock, lease_s=0.2) as dead,
        ):
            lost = asyncio.create_task(dead.held(known, secrets))
            async with asyncio.timeout(20):
                await api.arrived.wait()
            for task in dead._refreshes.values():
                task.cancel()  # as if its process were gone
            await asyncio.wait({lost})
            lost.cancel()
            api.held.set()

            async with Tokens(spine.worker, http, spine.keyring, clock) as heir:
                held = await heir.held(known, secrets)

        assert held is not None
        assert held.token.access.text() == api.access == "access-token-2"


async def test_a_token_is_renewed_ahead_of_its_end_while_the_old_one_is_shown(database: str) -> None:
    async with TokenApi(life_s=600) as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        clock = SettableClock()
        definitions = Definitions(spine.worker, spine.keyring)
        known = await definitions.get(await spine.worker.fetchval("SELECT version_id FROM stream"))
        secrets = await definitions.secrets(known)
        async with HttpClient(clock) as http, Tokens(spine.worker, http, spine.keyring, clock) as tokens:
            first = await tokens.held(known, secrets)
            clock.move(539)
            same = await tokens.held(known, secrets)
            api.held.clear()
            clock.move(2)
            shown = await tokens.held(known, secrets)
            api.held.set()
            await asyncio.wait(list(tokens._refreshes.values()))
            renewed = await tokens.held(known, secrets)

        assert first is not None and renewed is not None
        assert first == same == shown
        assert renewed.token.access.text() == "access-token-2"
        assert len(api.asked) == 2


async def test_no_token_is_seen_outside_of_its_seal(database: str) -> None:
    async with TokenApi() as api, open_spine(database) as spine:
        await spine.apply(manifest(api, REFRESH))
        async with working(spine):
            await ended(spine, await start(spine))

        async with spine.worker.transaction() as connection:
            await connection.execute("SET LOCAL ROLE NONE")
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'headwater'")
            for row in tables:
                texts = await connection.fetch(
                    f"SELECT t::text AS text FROM headwater.{row['tablename']} AS t"
                )
                seen = " ".join(found["text"] for found in texts)
                assert "access-token" not in seen and "refresh-token" not in seen, row["tablename"]
                assert b"access-token".hex() not in seen, row["tablename"]


async def test_a_session_token_and_an_assertion_are_kept_like_any_other(database: str) -> None:
    session = {"type": "session", "json": {"user": "us", "password": "secret-1"}, "token_path": "session"}
    assertion = {"type": "jwt", "algorithm": "HS256", "key": "k" * 32, "issuer": "us"}
    for auth in (session, assertion):
        async with TokenApi(uses=6) as api, open_spine(database) as spine:
            await spine.apply(manifest(api, auth))
            async with working(spine):
                run = await ended(spine, await start(spine, key=auth["type"]))

            assert (run["state"], run["received"], len(api.asked)) == ("succeeded", 50, 1)
            if auth is assertion:
                claims = claims_of(api.asked[0]["assertion"], b"k" * 32)
                assert (claims["iss"], claims["aud"]) == ("us", api.url("/token"))
            else:
                assert api.asked[0] == {"user": "us", "password": "secret-1"}
