"""Every example is a valid manifest, and so is the one of the README."""

import re
from pathlib import Path

import pytest
import yaml

from headwater.contracts.manifest_text import parse_manifest
from headwater.control.finding import Surroundings
from headwater.control.validation import check, doubts

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
ENVIRONMENT = {
    "DEMO_API_URL": "http://127.0.0.1:1",
    "DATASETTE_URL": "https://datasette.example",
    "DEMO_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "PAYMENTS_SECRET_NEW": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
    "PAYMENTS_SECRET_OLD": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY4",
    "SHOPIFY_URL": "https://example.myshopify.com",
    "STRIPE_SECRET": "whsec_0123456789abcdef",
}
MANIFESTS = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("*.yml"))}
MANIFESTS |= {
    f"README block {number}": block
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
    if "version: 1" in block
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_example_is_valid(name: str) -> None:
    wanted = set(re.findall(r"\$\{env:(\w+)\}", MANIFESTS[name]))
    environment = {variable: ENVIRONMENT.get(variable, f"a value of {variable}") for variable in wanted}

    manifest, document = parse_manifest(MANIFESTS[name], name, environment)

    assert [str(problem) for problem in check(manifest, document)] == []


@pytest.mark.parametrize("name", ["accounting", "github", "hubspot", "office", "salesforce", "shopify"])
def test_an_example_of_a_well_known_api_is_in_no_doubt(name: str) -> None:
    text = MANIFESTS[f"{name}.yml"]
    wanted = set(re.findall(r"\$\{env:(\w+)\}", text))
    environment = {variable: ENVIRONMENT.get(variable, f"a value of {variable}") for variable in wanted}
    manifest, document = parse_manifest(text, name, environment)

    assert [str(problem) for problem in doubts(manifest, document, Surroundings())] == []


def test_there_are_examples_and_one_in_the_readme() -> None:
    assert {"demo.yml", "shop.yml"} <= set(MANIFESTS)
    assert "README block 0" in MANIFESTS
    assert all(yaml.safe_load(text)["version"] == 1 for text in MANIFESTS.values())
