"""What the user has set once for all: `rlm.toml`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from llm_rlm import UsageError
from llm_rlm.config import Config, Rate, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(user_path: Path) -> Path:
    return user_path / "rlm.toml"


def test_without_a_file_the_defaults_hold() -> None:
    assert load() == Config(max_cost=1.0, cache_days=30.0, prices={})


def test_what_the_file_says_holds_and_the_rest_is_as_without_it(file: Path) -> None:
    file.write_text(
        'max_cost = 5\n[prices."my/model"]\ninput = 0.1\noutput = 1\ncached_input = 0\n[prices.other]\ninput=0\noutput=0'
    )
    assert load() == Config(5.0, 30.0, {"my/model": Rate(0.1, 1, 0), "other": Rate(0, 0)})
    assert load(file) == load()


def test_windows_are_read_by_model(file: Path) -> None:
    file.write_text('[windows]\n"my/model" = 8192\nother = 32_768')
    assert load().windows == {"my/model": 8192, "other": 32_768}


def test_whether_runs_are_sent_to_opentelemetry_is_yes_or_no(file: Path) -> None:
    file.write_text("otel = true")
    assert load().otel
    file.write_text('otel = "yes"')
    with pytest.raises(UsageError, match="otel must be true or false"):
        load()


def test_an_empty_file_and_one_with_a_byte_order_mark_are_read(file: Path) -> None:
    file.write_bytes(b"")
    assert load() == Config()
    file.write_bytes(b"\xef\xbb\xbfcache_days = 0.5\r\n")
    assert load().cache_days == 0.5


def test_false_is_no_limit_and_0_is_never(file: Path) -> None:
    file.write_text("max_cost = false\ncache_days = false")
    assert load() == Config(None, None)
    file.write_text("max_cost = 0\ncache_days = 0")
    assert load() == Config(0.0, 0.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_cots = 1", "there is no key 'max_cots': there are max_cost, cache_days, prices, windows"),
        ("max_cost = true", "max_cost must be a number of at least 0 (USD), or false for no limit, not True"),
        ("max_cost = -1", "max_cost must be a number of at least 0"),
        ("max_cost = inf", "max_cost must be a number of at least 0"),
        ("max_cost = nan", "max_cost must be a number of at least 0"),
        ("max_cost = 1" + "0" * 400, "max_cost must be a number of at least 0"),
        ("max_cost = '1'", "or false for no limit, not '1'"),
        ("cache_days = -1", "cache_days must be a number of at least 0 (days; 0 for never), or false for no end, not -1"),
        ("prices = 1", "prices must be a table for each model"),
        ("windows = 1", "windows must be a table, in tokens, [windows] with a line for each model"),
        ("[windows]\nm = 0", 'windows."m" must be a whole number above 0, in tokens'),
        ("[windows]\nm = true", 'windows."m" must be a whole number above 0'),
        ("[prices]\nm = 1", 'prices."m" must be a table'),
        ("[prices.m]\ninput = 1", 'prices."m" lacks output'),
        ("[prices.m]", 'prices."m" lacks input and output'),
        (
            "[prices.m]\ninput = 1\noutput = -1",
            'prices."m": the price output must be a number of at least 0, in USD per million',
        ),
        ("[prices.m]\ninput = 1\noutput = '1'", "not '1'"),
        ("[prices.m]\ninput = 1\noutput = 1\ncached = 1", "there are input, output, cached_input"),
        ("[prices.gpt-5.2]\ninput = 1\noutput = 1", 'a model with a dot in its name is written in quotes, [prices."gpt-5.2"]'),
        ("max_cost =", "is not TOML: "),
    ],
)
def test_what_is_wrong_is_named_in_one_line_with_file_cause_and_cure(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(str(file))
    assert says in message
    assert "\n" not in message


def test_a_file_that_is_not_text_or_cannot_be_read_is_named(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"rlm\.toml is not TOML"):
        load()
    file.unlink()
    file.mkdir()
    with pytest.raises(UsageError, match=r"rlm\.toml cannot be read: Is a directory"):
        load()


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf, True, "1", None])
def test_a_rate_is_a_finite_number_of_at_least_0(wrong: float) -> None:
    with pytest.raises(UsageError, match="the price input must be a number of at least 0, in USD per million tokens"):
        Rate(wrong, 1)
