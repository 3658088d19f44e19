from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.sandbox import frames


@given(st.lists(st.tuples(st.sampled_from([frames.GUEST, frames.WORKER]), st.binary())))
def test_frames_from_a_worker_are_read_as_they_were_written(sent: list[tuple[int, bytes]]) -> None:
    pipe = io.BytesIO(b"".join(frames.from_worker(sender, body) for sender, body in sent))
    assert [frames.read_from_worker(pipe) for _ in sent] == sent
    assert frames.read_from_worker(pipe) is None


@given(st.lists(st.binary()))
def test_frames_to_a_worker_are_read_as_they_were_written(sent: list[bytes]) -> None:
    pipe = io.BytesIO(b"".join(frames.to_worker(body) for body in sent))
    assert [frames.read_to_worker(pipe) for _ in sent] == sent
    assert frames.read_to_worker(pipe) is None


def test_a_frame_that_is_cut_off_is_the_end() -> None:
    assert frames.read_from_worker(io.BytesIO(frames.from_worker(frames.GUEST, b"abc")[:-1])) is None
    assert frames.read_to_worker(io.BytesIO(frames.to_worker(b"abc")[:-1])) is None


def test_a_length_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(frames.FrameError, match="are allowed"):
        frames.read_from_worker(io.BytesIO(b"\x00\xff\xff\xff\xff"))


def test_an_unknown_sender_is_refused() -> None:
    with pytest.raises(frames.FrameError, match="unknown sender 7"):
        frames.read_from_worker(io.BytesIO(b"\x07\x00\x00\x00\x00"))
