"""airbyte-cdk on the same API: its `read`, whose messages go to nowhere; runs in the peers' own environment.

`python peer_airbyte.py --api URL --folder FOLDER` says that it is ready; each line `<delay_ms>` on its input reads once
and answers the seconds. With `--command` it is what a sync starts: it reads once, and its messages go to its output.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TYPES = {
    "id": "integer",
    "name": "string",
    "email": "string",
    "country": "string",
    "amount": "number",
    "quantity": "integer",
    "active": "boolean",
    "created_at": "string",
    "updated_at": "string",
    "note": "string",
}
SCHEMA = {"type": "object", "properties": {name: {"type": kind} for name, kind in TYPES.items()}}


def manifest(api: str, delay_ms: int) -> dict[str, Any]:
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["records"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "records",
                "primary_key": ["id"],
                "schema_loader": {"type": "InlineSchemaLoader", "schema": SCHEMA},
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {
                        "type": "HttpRequester",
                        "url_base": api,
                        "path": "/records",
                        "http_method": "GET",
                        "request_parameters": {"delay_ms": str(delay_ms)},
                    },
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": ["items"]},
                    },
                    "paginator": {
                        "type": "DefaultPaginator",
                        "page_token_option": {
                            "type": "RequestOption",
                            "inject_into": "request_parameter",
                            "field_name": "cursor",
                        },
                        "pagination_strategy": {
                            "type": "CursorPagination",
                            "cursor_value": "{{ response['next'] }}",
                            "stop_condition": "{{ not response['next'] }}",
                        },
                    },
                },
            }
        ],
        "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
    }


def source_of(api: str, folder: Path, delay_ms: int) -> tuple[Any, list[str]]:
    """The source, and the arguments of its read."""
    from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
    from airbyte_cdk.sources.declarative.concurrent_declarative_source import ConcurrentDeclarativeSource

    stream = {"name": "records", "json_schema": SCHEMA, "supported_sync_modes": ["full_refresh"]}
    catalog = {
        "streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}]
    }
    (folder / "config.json").write_text("{}")
    (folder / "catalog.json").write_text(json.dumps(catalog))
    source = ConcurrentDeclarativeSource(
        catalog=ConfiguredAirbyteCatalogSerializer.load(catalog),
        config={},
        state=[],
        source_config=manifest(api, delay_ms),
    )
    arguments = ["read", "--config", f"{folder}/config.json", "--catalog", f"{folder}/catalog.json"]
    return source, arguments


def read(api: str, folder: Path, delay_ms: int) -> dict[str, float]:
    from airbyte_cdk.entrypoint import AirbyteEntrypoint

    source, arguments = source_of(api, folder, delay_ms)
    entry = AirbyteEntrypoint(source)
    count = 0
    with Path(os.devnull).open("w") as nowhere:
        began, spent = time.perf_counter(), time.process_time()
        for message in entry.run(AirbyteEntrypoint.parse_args(arguments)):
            count += '"type":"RECORD"' in message[:20] or '"RECORD"' in message
            nowhere.write(f"{message}\n")
        return {
            "seconds": time.perf_counter() - began,
            "records": count,
            "cpu_s": time.process_time() - spent,
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("api", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--command", action="store_true")
    chosen = parser.parse_args()
    if chosen.command:
        from airbyte_cdk.entrypoint import launch

        launch(*source_of(chosen.api, Path(chosen.folder), 0))
        return
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import airbyte_cdk.entrypoint
    import airbyte_cdk.sources.declarative.concurrent_declarative_source  # noqa: F401

    version = importlib.metadata.version("airbyte-cdk")
    print(json.dumps({"version": version}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(read(chosen.api, Path(chosen.folder), int(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
