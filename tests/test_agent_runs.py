"""agent.runs: bytes as a field of a line, on both sides; agents that know less of the form, or have short lines."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mmapconf.agent.backend import CommandBackend, NativeBackend
from pytest_mmapconf.agent.runs import beginning, decode, encode
from pytest_mmapconf.contract import MAP_ANONYMOUS, MAP_PRIVATE, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, Unresolved

CONTENT = {
    b"": "",
    b"abc": "616263",
    b"a" * 4096: "61*4096",
    b"abc" * 1000 + b"a": "616263*3001",
    b"x" * 10 + b"end": "78*10,656e64",
    b"start" + bytes(20) + b"!": "7374617274,00*20,21",
}

NOISE = Random(1).randbytes(70000)
NUMBERS = {
    b"".join(number.to_bytes(4, "big") for number in range(254, 510)): "000000fe+1024",
    b"".join(number.to_bytes(4, "big") for number in range(9, 99))[:21]: "00000009+21",
    b"!" + bytes(15) + b"\1" + b"\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5": "21,00*15,01,00000002+16",
    bytes(range(3, 256)) + bytes(range(9)): "03+262",
    b"\xff" * 4 + bytes(4) + b"\0\0\0\1\0\0\0\2\0": "ffffffff+17",
}


@pytest.mark.parametrize("data", CONTENT)
def test_repetitions_are_written_once(data: bytes) -> None:
    assert encode(data) == CONTENT[data]
    assert decode(CONTENT[data], 1 << 20) == data


@pytest.mark.parametrize("data", NUMBERS)
def test_numbers_that_follow_each_other_are_written_once(data: bytes) -> None:
    assert encode(data, numbers=True) == NUMBERS[data]
    assert decode(NUMBERS[data], len(data)) == data
    assert "+" not in encode(data)


def test_numbers_of_any_width_are_decoded() -> None:
    assert decode("fe+4,0009+6,00*2", 100) == bytes.fromhex("fe ff 00 01 0009 000a 000b 0000")


@given(
    st.lists(st.sampled_from([*CONTENT, *NUMBERS, bytes(range(40))]), max_size=4).map(b"".join), st.integers(16, 300)
)
def test_a_beginning_fits_and_the_rest_follows(data: bytes, room: int) -> None:
    at = 0
    while at < len(data):
        field, count = beginning(data[at:], room)
        assert len(field) <= room
        assert 0 < count == len(decode(field, count))
        assert decode(field, count) == data[at : at + count]
        at += count


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.integers(1, 40))).map(
        lambda parts: b"".join(p * n for p, n in parts)
    )
)
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert decode(encode(data), max(len(data), 1)) == data
    assert len(encode(data)) <= 2 * len(data)
    assert decode(encode(data, numbers=True), max(len(data), 1)) == data
    assert len(encode(data, numbers=True)) <= 2 * len(data)


@pytest.mark.parametrize(
    "field", ["6", "6162*1", "61*", "61*17", "*3", "61,", ",61", "61*4,zz", "61**4", "61*-1", "6162+1", "61+"]
)
def test_a_wrong_field_is_an_error(field: str) -> None:
    with pytest.raises(ValueError, match=r"is not a part of bytes|is shorter than its pattern, or too long"):
        decode(field, 16)


def test_the_c_agent_decodes_what_the_client_encodes() -> None:
    backend = NativeBackend()
    try:
        agent = backend.agent()
        assert agent.facts["runs"] == "both"
        process = backend.boot().spawn()
        fd = process.open("file", O_CREAT | O_RDWR)
        addr = process.mmap(0, 1 << 17, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        for data in [*CONTENT, *NUMBERS, bytes(range(256)) * 64, b"ab" * 20000 + b"rest", bytes(9) + b"a" * 8, NOISE]:
            assert process.pwrite(fd, data, 0) == len(data)
            assert process.pread(fd, len(data), 0) == data
            process.store(addr, data)
            assert process.load(addr, len(data)) == data
    finally:
        backend.close()


@pytest.mark.parametrize(
    "field",
    [
        *("6", "6162*1", "6162+1", "61+65537", "+4", "61*", "61*65537", "*3", "61,"),
        *(",61", "61*4,zz", "61**4", "61*-1", "00*65536,00"),
    ],
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


AGENT = """
import sys
print("mmapconf 1 {facts}", flush=True)
for line in sys.stdin:
    number, verb, *words = line.split()
    answers = {{"boot": "/x", "spawn": "1", "load": "{load}", "pread": "{load}"}}
    print(number, "ok", answers.get(verb, ""), flush=True)
    print(line, end="", file=open("{log}", "a"))
"""


def backend_answering(folder: Path, facts: str, load: str) -> CommandBackend:
    """Return a backend whose agent answers a request for bytes in this way, and keeps the requests."""
    (folder / "agent.py").write_text(AGENT.format(facts=facts, load=load, log=folder / "log"))
    return CommandBackend(f"{sys.executable} {folder / 'agent.py'}")


def test_a_comma_at_the_end_of_an_answer_asks_for_the_rest(tmp_path: Path) -> None:
    backend = backend_answering(tmp_path, "runs=both line=128 data=4096", "61*2000,")
    try:
        process = backend.boot().spawn()

        assert process.load(0x1000, 4000) == process.pread(3, 4000, 0) == b"a" * 4000
    finally:
        backend.close()

    assert [line for line in (tmp_path / "log").read_text().splitlines() if line.startswith("1 ")] == [
        "1 load 0x1000 4000",
        "1 load 0x17d0 2000",
        "1 pread 3 4000 0",
        "1 pread 3 2000 2000",
    ]


@pytest.mark.parametrize(
    ("facts", "field"),
    [("runs=both", "00000000+16"), ("runs=yes", "00000000000000010000000200000003"), ("bits=64", None)],
)
def test_requests_have_the_parts_that_the_agent_knows(tmp_path: Path, facts: str, field: str | None) -> None:
    backend = backend_answering(tmp_path, facts, "")
    data = b"".join(number.to_bytes(4, "big") for number in range(4))
    try:
        backend.boot().spawn().store(0x1000, data)
    finally:
        backend.close()

    assert f"1 store 0x1000 {field or data.hex()}\n" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("facts", "load", "message"),
    [
        ("runs=yes", "61*4", "where bytes belong"),
        ("runs=both", ",", "where bytes belong"),
        ("runs=both", "61*4,,", "where bytes belong"),
        ("runs=both", "61*99999999", "where bytes belong"),
        ("runs=both", "61*5", "5 bytes where 4 were asked for"),
    ],
)
def test_other_answers_are_errors_of_the_agent(tmp_path: Path, facts: str, load: str, message: str) -> None:
    backend = backend_answering(tmp_path, facts, load)
    try:
        process = backend.boot().spawn()
        with pytest.raises(Unresolved, match=message):
            process.load(0x1000, 4)
    finally:
        backend.close()
