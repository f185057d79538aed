"""The flag that writes down what is said now, to be read in the diff before it is committed."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write each conversation as it goes now: pytest tests/conversations --regenerate",
    )
