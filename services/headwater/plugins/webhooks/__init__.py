"""What a webhook's request says and does, beyond its signature: parsed, filtered, mapped. All of it is pure.

`parsing.parse` gives a body's document, `facts.compile_facts(endpoint)` what is told of a delivery at the door,
`effects.compile_effects(endpoint)` what it does, `effects.judge` what one delivery does. Who needs one of them
imports that module: the receiver holds nothing of what deliveries do.
"""
