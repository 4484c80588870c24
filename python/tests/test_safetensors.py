"""The header codec: what is written is what the format says, and what breaks a rule is refused."""

from __future__ import annotations

import json
import os

import pytest

from podfs import CheckpointNotFound, DamagedCheckpoint, UnsupportedTensor, _safetensors


def write(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return str(path)


def tensor(begin, end, dtype="U8", shape=None):
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def test_data_begins_at_a_page_and_larger_elements_come_first():
    prefix, header = _safetensors.plan(
        [("b", "U8", (3,)), ("a", "U8", (1,)), ("c", "F64", (2,)), ("d", "BF16", (5,)), ("e", "F32", ())],
        {"key": "value"},
    )
    assert len(prefix) == header.data_start == 4096
    assert list(header.tensors) == ["c", "e", "d", "a", "b"]
    assert header.size == 4096 + 16 + 4 + 10 + 1 + 3
    assert _safetensors.decode(prefix[8:], header.size, "plan") == header


def test_a_state_without_tensors_is_a_file():
    prefix, header = _safetensors.plan([], {})
    assert header.size == len(prefix) == 4096
    assert _safetensors.decode(prefix[8:], 4096, "plan").tensors == {}


def test_names_that_are_no_unicode_are_refused():
    with pytest.raises(UnsupportedTensor, match="Unicode"):
        _safetensors.plan([("\ud800", "U8", (1,))], {})


def test_four_bit_elements_must_fill_bytes():
    with pytest.raises(UnsupportedTensor, match="whole bytes"):
        _safetensors.plan([("x", "F4", (3,))], {})


def test_aliases_are_read_back(tmp_path):
    path = write(
        tmp_path / "x", {"__metadata__": {"podfs.alias.b": "a", "podfs.alias.c": "gone"}, "a": tensor(0, 1)}, b"x"
    )
    assert _safetensors.read_header(path).aliases == {"b": "a"}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"[]", b"", "not JSON"),
        (b"{", b"", "not JSON"),
        (b' {"a":1}', b"", "not JSON"),
        (b'{"a":' + b"[" * 100_000, b"", "not JSON"),
        (b'{"\xff":1}', b"", "not JSON"),
        (
            b'{"a":%s,"a":%s}' % ((b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}',) * 2),
            b"x",
            "twice",
        ),
        ({"a": 1}, b"", "no description"),
        ({"a": tensor(0, 1, "U9")}, b"x", "unknown type"),
        ({"a": tensor(0, 1, ["U8"])}, b"x", "unknown type"),
        ({"a": tensor(0, 1, shape=[-1])}, b"x", "shape or place"),
        ({"a": tensor(0, 1, shape=[True])}, b"x", "shape or place"),
        ({"a": {"dtype": "U8", "shape": [1]}}, b"x", "shape or place"),
        ({"a": tensor(0, 2, shape=[1])}, b"xx", "another number"),
        ({"a": tensor(0, 1, "F4", [1])}, b"x", "another number"),
        ({"a": tensor(1, 2)}, b"xx", "begins at 1"),
        ({"a": tensor(0, 2), "b": tensor(1, 3)}, b"xxx", "begins at 1"),
        ({"a": tensor(0, 2)}, b"x", "the header says"),
        ({"a": tensor(0, 2)}, b"xxx", "the header says"),
        ({"__metadata__": {"a": 1}}, b"", "metadata"),
        ({"__metadata__": []}, b"", "metadata"),
    ],
)
def test_what_breaks_a_rule_is_refused(tmp_path, header, data, message):
    with pytest.raises(DamagedCheckpoint, match=message):
        _safetensors.read_header(write(tmp_path / "x", header, data))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too few"),
        (b"1234567", "too few"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "no safetensors file"),
        ((1000).to_bytes(8, "little") + b"{}", "ends in its header"),
    ],
)
def test_what_has_no_whole_header_is_refused(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=message):
        _safetensors.read_header(str(tmp_path / "x"))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    prefix, header = _safetensors.plan([("a", "U8", (10,))], {})
    whole = prefix + bytes(10)
    path = tmp_path / "x"
    for length in (0, 7, 8, 100, 4095, 4096, header.size - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedCheckpoint):
            _safetensors.read_header(str(path))


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(CheckpointNotFound):
        _safetensors.read_header(str(tmp_path / "absent"))
    os.mkdir(tmp_path / "directory")
    with pytest.raises(DamagedCheckpoint, match="directory"):
        _safetensors.read_header(str(tmp_path / "directory"))


def test_stock_safetensors_reads_and_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file({"a": torch.arange(4), "b": torch.zeros(0, 3)}, str(tmp_path / "x"), {"key": "value"})
    header = _safetensors.read_header(str(tmp_path / "x"))
    assert header.tensors["a"].shape == (4,)
    assert header.metadata == {"key": "value"}
