"""Reports of tests that can travel: half of a surrogate pair cannot go from a test worker to the process that tells
how the tests went, so it is spelled out.
"""

from collections.abc import Generator

import pytest


def _is_text(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def pytest_make_parametrize_id(val: object) -> str | None:
    return ascii(val) if isinstance(val, str) and not _is_text(val) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    if report.longrepr is not None and not _is_text(str(report.longrepr)):
        report.longrepr = str(report.longrepr).encode(errors="backslashreplace").decode()
    return report
