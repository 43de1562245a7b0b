"""Verification of webhook signatures: every scheme is a row of data, verified over raw bytes.

`presets.preset(name)` or `compile.compile_scheme(definition)` gives a Scheme; `verify.bind(scheme, secrets)` a
Verifier; its `verify` a Verdict. All of it is pure: no I/O, no clock, no exception for any request.
"""
