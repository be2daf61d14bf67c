"""agent.runs: bytes as a field of a request, on both sides; and an agent that does not know the form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.agent.backend import NativeBackend
from pytest_mmapconf.agent.runs import decode, encode
from pytest_mmapconf.contract import O_CREAT, O_RDWR

CONTENT = {
    b"": "",
    b"abc": "616263",
    b"a" * 4096: "61*4096",
    b"abc" * 1000 + b"a": "616263*3001",
    b"x" * 10 + b"end": "78*10,656e64",
    b"start" + bytes(20) + b"!": "7374617274,00*20,21",
}


@pytest.mark.parametrize("data", CONTENT)
def test_repetitions_are_written_once(data: bytes) -> None:
    assert encode(data) == CONTENT[data]
    assert decode(CONTENT[data], 1 << 20) == data


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 40))).map(
        lambda parts: b"".join(p * n for p, n in parts)
    )
)
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert decode(encode(data), max(len(data), 1)) == data
    assert len(encode(data)) <= 2 * len(data)


@pytest.mark.parametrize("field", ["6", "6162*1", "61*", "61*17", "*3", "61,", ",61", "61*4,zz", "61**4", "61*-1"])
def test_a_wrong_field_is_an_error(field: str) -> None:
    with pytest.raises(ValueError, match=r"is not a part of bytes|is shorter than its pattern, or too long"):
        decode(field, 16)


def test_the_c_agent_decodes_what_the_client_encodes() -> None:
    backend = NativeBackend()
    try:
        agent = backend.agent()
        assert agent.facts["runs"] == "yes"
        process = backend.boot().spawn()
        fd = process.open("file", O_CREAT | O_RDWR)
        for data in [*CONTENT, bytes(range(256)) * 64, b"ab" * 20000 + b"rest"]:
            assert process.pwrite(fd, data, 0) == len(data)
            assert process.pread(fd, len(data), 0) == data
    finally:
        backend.close()


@pytest.mark.parametrize(
    "field", ["6", "6162*1", "61*", "61*16385", "*3", "61,", ",61", "61*4,zz", "61**4", "61*-1", "00*16384,00"]
)
def test_the_c_agent_refuses_a_wrong_field(field: str) -> None:
    backend = NativeBackend()
    try:
        agent = backend.agent()
        backend.boot()
        with pytest.raises(Exception, match="does not understand"):
            agent.call(1, f"pwrite 3 {field} 0")
    finally:
        backend.close()
