"""dlt on the same API, into the same database; runs in the peers' own environment.

`python peer_dlt.py --api URL --database URL --folder FOLDER` says that it is ready; each line
`<delay_ms> <pages> <defaults|best>` on its input walks once, into a dataset made anew, and answers the seconds.
"""

import argparse
import json
import os
import sys
import time
from uuid import uuid4

# What makes dlt quickest here: larger buffers, rows as CSV (which it loads by COPY), all processors.
BEST = {
    "DATA_WRITER__BUFFER_MAX_ITEMS": "50000",
    "DATA_WRITER__FILE_MAX_ITEMS": "25000",
    "EXTRACT__WORKERS": "4",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "8",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "EXTRACT__NEXT_ITEM_MODE": "fifo",
}
ALWAYS = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}


def walk(api: str, database: str, folder: str, delay_ms: int, pages: int, settings: str) -> dict[str, float]:
    for name, value in BEST.items():
        if settings == "best":
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    import dlt
    from dlt.sources.rest_api import rest_api_source

    name = f"dlt_{uuid4().hex[:8]}"
    source = rest_api_source(
        {
            "client": {
                "base_url": api,
                "paginator": {
                    "type": "page_number",
                    "page_param": "page",
                    "base_page": 1,
                    "total_path": None,
                    "maximum_page": pages + 1,
                },
            },
            "resources": [
                {
                    "name": "records",
                    "primary_key": "id",
                    "write_disposition": "merge"
                    if settings == "defaults"
                    else {"disposition": "merge", "strategy": "upsert"},
                    "endpoint": {
                        "path": "records",
                        "params": {"delay_ms": delay_ms},
                        "data_selector": "items",
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        pipeline_name=name,
        pipelines_dir=folder,
        dataset_name=name,
        destination=dlt.destinations.postgres(database),
    )
    began = time.perf_counter()
    spent = os.times()
    if settings == "best":
        pipeline.run(source, loader_file_format="csv")
    else:
        pipeline.run(source)
    seconds = time.perf_counter() - began
    after = os.times()
    with pipeline.sql_client() as client:
        count = client.execute_sql("SELECT count(*) FROM records")[0][0]
    cpu_s = sum(after[:4]) - sum(spent[:4])
    return {"seconds": seconds, "records": count, "cpu_s": cpu_s}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("api", "database", "folder"):
        parser.add_argument(f"--{name}", required=True)
    chosen = parser.parse_args()
    os.environ.update(ALWAYS)
    answers = os.fdopen(os.dup(1), "w")  # what the library prints goes elsewhere
    os.dup2(2, 1)
    import dlt.destinations.impl.postgres.postgres  # what is imported is not what is measured
    import dlt.sources.rest_api  # noqa: F401

    print(json.dumps({"version": dlt.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        delay_ms, pages, settings = line.split()
        told = walk(chosen.api, chosen.database, chosen.folder, int(delay_ms), int(pages), settings)
        print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
