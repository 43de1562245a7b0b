"""Verification of webhook signatures: every scheme is a row of data, verified over raw bytes.

`preset(name)` or `compile_scheme(definition)` gives a Scheme; `bind(scheme, secrets)` a Verifier; its
`verify` a Verdict. All of it is pure: no I/O, no clock, no exception for any request.
"""

from headwater.plugins.signatures.compile import compile_definition, compile_scheme
from headwater.plugins.signatures.facts import certificate_url, delivery_id, event_type
from headwater.plugins.signatures.handshake import Handshake, HandshakeAnswer
from headwater.plugins.signatures.handshakes import compile_handshake, handshake_for, handshake_names
from headwater.plugins.signatures.keys import check_secrets
from headwater.plugins.signatures.presets import preset, preset_names, preset_row
from headwater.plugins.signatures.reasons import REASONS
from headwater.plugins.signatures.request import SignedRequest
from headwater.plugins.signatures.scheme import Place, Scheme
from headwater.plugins.signatures.verify import Verdict, Verifier, bind, verify

__all__ = [
    "REASONS",
    "Handshake",
    "HandshakeAnswer",
    "Place",
    "Scheme",
    "SignedRequest",
    "Verdict",
    "Verifier",
    "bind",
    "certificate_url",
    "check_secrets",
    "compile_definition",
    "compile_handshake",
    "compile_scheme",
    "delivery_id",
    "event_type",
    "handshake_for",
    "handshake_names",
    "preset",
    "preset_names",
    "preset_row",
    "verify",
]
