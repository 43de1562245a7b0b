"""The rows of the route table for what comes in: endpoints, secrets, deliveries, replays, refusals, presets."""

from headwater.control import (
    deliveries,
    endpoint_changes,
    endpoint_secrets,
    endpoint_tests,
    endpoints,
    listening,
    presets,
    refusals,
    replays,
    secrets,
    signatures,
)
from headwater.control.documents import Part
from headwater.control.frame import API
from headwater.control.paging import ListQuery, Page
from headwater.control.route import Bytes, Route

_ENDPOINT = f"{API}/endpoints/{{endpoint}}"
_DELIVERY = f"{API}/deliveries/{{delivery}}"
_SECRET = f"{API}/secrets/{{secret}}"


def webhook_rows() -> tuple[Route, ...]:
    """Every row that is about webhooks."""
    return (*_endpoint_rows(), *_secret_rows(), *_delivery_rows(), *_other_rows())


def _endpoint_rows() -> tuple[Route, ...]:
    return (
        Route("GET", f"{API}/endpoints", endpoints.list_endpoints, "Endpoints", "read", Page[endpoints.Endpoint],
              query=endpoints.EndpointsQuery, tag="endpoints"),
        Route("POST", f"{API}/endpoints", endpoint_changes.create_endpoint, "Make an endpoint", "write",
              endpoints.Endpoint, body=Part, status=201, tag="endpoints",
              problems=(409,)),
        Route("GET", _ENDPOINT, endpoint_changes.show_endpoint, "One endpoint", "read", endpoints.Endpoint,
              matched=True, tag="endpoints"),
        Route("PUT", _ENDPOINT, endpoint_changes.put_endpoint, "Replace an endpoint, or make it", "write",
              endpoints.Endpoint, body=Part, matched=True, also=201, tag="endpoints"),
        Route("PATCH", _ENDPOINT, endpoint_changes.patch_endpoint, "Change parts of an endpoint (merge patch)",
              "write", endpoints.Endpoint, body=Part, matched=True, tag="endpoints"),
        Route("DELETE", _ENDPOINT, endpoint_changes.delete_endpoint, "Remove an endpoint; its deliveries stay",
              "write", None, status=204, matched=True, tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/enable", endpoint_changes.enable_endpoint, "Let it receive", "write",
              endpoints.Endpoint, matched=True, tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/disable", endpoint_changes.disable_endpoint,
              "Let it receive nothing: senders get 404", "write", endpoints.Endpoint, matched=True,
              tag="endpoints"),
        Route("GET", f"{_ENDPOINT}/stats", endpoints.endpoint_stats, "What came to an endpoint, and its alarms",
              "read", endpoints.EndpointStats, query=endpoints.StatsQuery, tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/test", endpoint_tests.test_endpoint,
              "What would become of a request; nothing is written", "read", endpoint_tests.TestResult,
              body=endpoint_tests.TestRequest, problems=(409,), tag="endpoints"),
        Route("GET", f"{_ENDPOINT}/follow", listening.make_follow(), "Deliveries as they are stored; waits for them",
              "read", listening.Followed, query=listening.FollowQuery, tag="endpoints"),
        Route("GET", f"{_ENDPOINT}/secrets", endpoint_secrets.list_endpoint_secrets,
              "The endpoint's secrets: state, last use, safe to retire", "read", endpoint_secrets.EndpointSecrets,
              tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/secrets/rotate", endpoint_secrets.rotate_endpoint_secret,
              "A new secret beside those there are", "write", endpoint_secrets.Rotated,
              body=endpoint_secrets.Rotation, problems=(409,), tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/secrets/retire", endpoint_secrets.retire_endpoint_secret,
              "Take a secret out of use", "write", endpoint_secrets.EndpointSecrets,
              body=endpoint_secrets.Retirement, problems=(409,), tag="endpoints"),
        Route("GET", f"{_ENDPOINT}/handshake", endpoint_secrets.show_handshake, "The endpoint's handshake", "read",
              endpoint_secrets.HandshakeState, tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/handshake/reset", endpoint_secrets.reset_handshake,
              "Forget the provider's secret and wait for its handshake again", "write",
              endpoint_secrets.HandshakeState, problems=(409,), tag="endpoints"),
        Route("POST", f"{_ENDPOINT}/handshake/secret", endpoint_secrets.reveal_handshake_secret,
              "The secret that the provider handed over, shown once", "admin", endpoint_secrets.HandshakeSecret,
              problems=(409,), tag="endpoints"),
        Route("POST", f"{API}/signatures/verify", signatures.verify_signature, "Why was it refused?", "read",
              signatures.VerifyAnswer, body=signatures.VerifyRequest, tag="endpoints"),
    )  # fmt: skip


def _secret_rows() -> tuple[Route, ...]:
    return (
        Route("GET", f"{API}/secrets", secrets.list_secrets, "Named secrets, without their values", "read",
              Page[secrets.NamedSecret], query=ListQuery, tag="secrets"),
        Route("GET", _SECRET, secrets.show_secret, "One named secret, without its value", "read", secrets.NamedSecret,
              tag="secrets"),
        Route("PUT", _SECRET, secrets.put_secret, "Set a named secret", "write", secrets.NamedSecret,
              body=secrets.NewSecret, also=201, tag="secrets"),
        Route("DELETE", _SECRET, secrets.delete_secret, "Remove a named secret that nobody uses", "write", None,
              status=204, problems=(409,), tag="secrets"),
        Route("GET", f"{API}/secret-keys", secrets.list_secret_keys, "Which key seals how many secrets", "read",
              secrets.KeyUses, tag="secrets"),
        Route("POST", f"{API}/secret-keys/rotate", secrets.reseal_secrets, "Seal all secrets under the first key",
              "admin", secrets.Resealed, problems=(409,), tag="secrets"),
    )  # fmt: skip


def _delivery_rows() -> tuple[Route, ...]:
    return (
        Route("GET", f"{API}/deliveries", deliveries.list_deliveries, "Deliveries, newest first", "read",
              Page[deliveries.Delivery], query=deliveries.DeliveriesQuery, tag="deliveries"),
        Route("POST", f"{API}/deliveries/replay", replays.replay_deliveries,
              "Do deliveries again, by filter; a dry run counts them", "run", replays.Asked,
              body=replays.ReplayFilter, status=202, also=200, keyed=True, tag="deliveries"),
        Route("GET", _DELIVERY, deliveries.show_delivery, "One delivery", "read", deliveries.DeliveryDetail,
              tag="deliveries"),
        Route("GET", f"{_DELIVERY}/raw", deliveries.raw_delivery, "The exact bytes of a delivery's body", "read", Bytes,
              tag="deliveries"),
        Route("GET", f"{_DELIVERY}/duplicates", deliveries.list_duplicates, "The receipts merged into a delivery",
              "read", Page[deliveries.Duplicate], query=ListQuery, tag="deliveries"),
        Route("POST", f"{_DELIVERY}/replay", replays.replay_delivery, "Do a delivery again", "run", replays.Asked,
              status=202, keyed=True, problems=(409,), tag="deliveries"),
        Route("GET", f"{_DELIVERY}/replays", replays.list_delivery_replays, "How often a delivery was done again",
              "read", Page[replays.DeliveryReplay], tag="deliveries"),
        Route("GET", f"{API}/replays", replays.list_replays, "Requests for replays, newest first", "read",
              Page[replays.Replay], query=ListQuery, tag="deliveries"),
        Route("GET", f"{API}/replays/{{replay}}", replays.show_replay, "One request for replays, and how far it is",
              "read", replays.Replay, tag="deliveries"),
        Route("POST", f"{API}/replays/{{replay}}/cancel", replays.cancel_replay, "Do no more of it", "run",
              replays.Replay, problems=(409,), tag="deliveries"),
    )  # fmt: skip


def _other_rows() -> tuple[Route, ...]:
    return (
        Route("GET", f"{API}/refusals", refusals.list_refusals, "Refused requests, newest first", "read",
              Page[refusals.Refusal], query=refusals.RefusalsQuery, tag="refusals"),
        Route("GET", f"{API}/refusals/{{refusal}}", refusals.show_refusal, "One refused request", "read",
              refusals.Refusal, tag="refusals"),
        Route("GET", f"{API}/presets", presets.list_presets, "What goes by a name: schemes, handshakes, times", "read",
              Page[presets.Preset], query=presets.PresetsQuery, tag="presets"),
        Route("GET", f"{API}/presets/{{preset}}", presets.show_preset, "One preset", "read", presets.Preset,
              query=presets.PresetQuery, tag="presets"),
    )  # fmt: skip
