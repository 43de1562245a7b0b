"""What an endpoint would do with a request, with nothing received and nothing written: for `endpoints/{name}/test`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from headwater.contracts.endpoint import Endpoint
from headwater.contracts.webhook import Receipt
from headwater.model.secret import Secret
from headwater.model.topics import routing_key
from headwater.plugins.destinations.selection import refusal
from headwater.plugins.secret_text import Secrets
from headwater.plugins.signatures.handshakes import handshake_for
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.shield import shield_of
from headwater.plugins.signatures.verify import Verdict, verify
from headwater.plugins.webhooks.effects import DEAD, NO_KEYS, Judgement, Load, compile_effects, judge
from headwater.plugins.webhooks.facts import Known, compile_facts
from headwater.plugins.webhooks.schemes import handshake_of, scheme_of

DEFAULT_TOLERANCE_S = 300.0
_SHOWN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How the endpoint would take the request.

    `verdict` tells of the signature; `known` of key, order key and type; `judgement` of the effects, whatever the
    verdict; `handshake_status` is the status of the handshake's answer, None when the request is none.
    """

    verdict: Verdict
    known: Known
    judgement: Judgement
    handshake_status: int | None

    def told(self, tenant: str, endpoint: str) -> dict[str, Any]:
        """As JSON for people; at most some records of each table are shown."""
        judgement = self.judgement
        event = judgement.event
        return {
            "verification": {
                "valid": self.verdict.valid,
                "reason": self.verdict.reason,
                "detail": self.verdict.detail,
                "secret": self.verdict.secret_index,
            },
            "handshake_status": self.handshake_status,
            "key": self.known.key,
            "order_key": self.known.order_key,
            "type": self.known.type,
            "state": judgement.state,
            "reason": judgement.reason,
            "parsed_as": judgement.form,
            "tables": [
                {
                    "table": load.destination.place,
                    "records": list(load.records[:_SHOWN_RECORDS]),
                    "record_count": len(load.records),
                    "rejected_count": load.rejected_count,
                }
                for load in judgement.loads
            ],
            "starts": [
                {"stream": f"{run.source}.{run.stream}", "mode": run.mode, "parameters": dict(run.parameters)}
                for run in judgement.runs
            ],
            "event": None if event is None else routing_key(tenant, "webhook", endpoint, event.type),
        }


def judged(endpoint: Endpoint, secrets: Sequence[Secret], request: SignedRequest, at: datetime) -> Verdict:
    """The verdict on the signature under `secrets`, at `at`. Raises: ConfigError."""
    scheme = scheme_of(endpoint)
    return verify(
        scheme,
        secrets,
        request,
        at_s=at.timestamp(),
        tolerance_s=endpoint.tolerance_s or scheme.tolerance_s or DEFAULT_TOLERANCE_S,
        context=endpoint.context,
    )


def rehearse(
    tenant: str,
    endpoint: Endpoint,
    secrets: Sequence[Secret],
    request: SignedRequest,
    at: datetime,
    keys: Secrets = NO_KEYS,
) -> Rehearsal:
    """What would become of `request` at `at`. `secrets` are those that count then, `keys` those of hashed fields.

    Raises: ConfigError.
    """
    scheme = scheme_of(endpoint)
    verdict = judged(endpoint, secrets, request, at)
    shield = shield_of(scheme)
    known = compile_facts(endpoint, scheme).read(shield.without_parameter(request))
    kept = shield.kept(request)
    receipt = Receipt(
        id=UUID(int=0),
        receipt_id=UUID(int=0),
        received_at=at,
        tenant=tenant,
        endpoint=endpoint.name,
        method=request.method,
        url=kept.url,
        remote=None,
        headers=[[name.decode("latin-1"), value.decode("latin-1")] for name, value in kept.headers],
        body=request.body,
        verification={},
        type=known.type,
        key=known.key,
    )
    handshake = handshake_of(endpoint, scheme)
    answer = None
    if handshake is not None:
        answer = handshake_for(
            handshake,
            request,
            verified=verdict.valid,
            secret=secrets[0] if secrets else None,
            context=endpoint.context,
            awaiting=not secrets,
        )
    return Rehearsal(
        verdict,
        known,
        _with_refusals(judge(compile_effects(endpoint), receipt, keys)),
        None if answer is None else answer.status,
    )


def _with_refusals(judgement: Judgement) -> Judgement:
    """What loading makes of it, as far as that is known without the tables: records that lack their key are no rows."""
    notes: list[str] = []
    loads: list[Load] = []
    lost = 0
    for load in judgement.loads:
        reasons = [_refusal(load, record) for record in load.records]
        kept = tuple(record for record, reason in zip(load.records, reasons, strict=True) if reason is None)
        told = [reason for reason in reasons if reason is not None]
        if told:
            is_alone = len(judgement.loads) == 1 and not kept
            of = f"{len(told)} of {len(reasons)} records for {load.destination.place} rejected: "
            notes.append(told[0] if is_alone else of + told[0])
        lost += len(told)
        loads.append(load._replace(records=kept, rejected_count=load.rejected_count + len(told)))
    if not lost:
        return judgement
    is_dead = not any(load.records for load in loads)
    both = [judgement.reason, *notes] if judgement.reason is not None else notes
    reason = "; ".join(both)[:1000]
    return judgement._replace(state=DEAD if is_dead else judgement.state, reason=reason, loads=tuple(loads))


def _refusal(load: Load, record: Any) -> str | None:
    return None if load.destination.table is None else refusal(load.destination, record)
