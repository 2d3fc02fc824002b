"""`replacing` and `check_output`: which files may be replaced, and that writing is atomic."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from PIL import Image

from molvae._files import (
    Kind,
    add_stamp,
    check_output,
    has_valid_stamp,
    remove_stale_drafts,
    replacing,
    write_atomically,
)
from molvae.errors import DataError, visible
from tests.toys import begin

TEXT = Kind(name="a text", is_own=lambda file: file.read_bytes()[:4] == b"text", error=DataError)
FOLDER = Kind(
    name="a folder", is_own=lambda f: (f / "mark").exists(), error=DataError, is_folder=True
)


def write(path: Path, content: str, **settings: bool) -> None:
    with replacing(path, TEXT, **settings) as draft:
        draft.write_text(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_check_output_returns_the_absolute_path_behind_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.txt").symlink_to("real.txt")
    assert check_output("link.txt", TEXT) == tmp_path / "real.txt"
    write(Path("link.txt"), "text 1")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "text 1"
    write(Path("link.txt"), "text 2", overwrite=True)
    assert (tmp_path / "real.txt").read_text() == "text 2"


def test_replacing_needs_overwrite_and_a_file_of_its_own_kind(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write(file, "text 1")
    with pytest.raises(DataError, match=r"a\.txt exists; .*--overwrite"):
        write(file, "text 2")
    write(file, "text 2", overwrite=True)
    assert file.read_text() == "text 2"
    file.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="did not write it as a text"):
            write(file, "text 3", overwrite=overwrite)
    assert file.read_text() == "mine"
    assert names(tmp_path) == ["a.txt"]


def test_replacing_an_empty_file_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match="exists"):
        write(tmp_path / "a.txt", "text")
    write(tmp_path / "a.txt", "text", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_output_of_invalid_paths_raises(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("text")
    for path in (
        tmp_path / "folder",
        tmp_path / "pipe",
        tmp_path / "loop",
        tmp_path / "file" / "a.txt",
        tmp_path / "no" / "a.txt",
        tmp_path / ("x" * 300),
        tmp_path / "nul\0.txt",
        Path("/dev/null"),
        Path(""),
    ):
        with pytest.raises(DataError):
            check_output(path, TEXT, overwrite=overwrite)
    with pytest.raises(DataError, match="no folder"):
        check_output(tmp_path / "file", FOLDER, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_output_of_a_campaign_file_under_any_name_raises(
    tmp_path: Path, overwrite: bool
) -> None:
    record = tmp_path / "Rec.db"
    begin(record).close()
    before = record.read_bytes()
    (tmp_path / "link.html").symlink_to(record)
    os.link(record, tmp_path / "hard.html")
    (tmp_path / "sub").mkdir()
    always = Kind(name="anything", is_own=lambda file: True, error=DataError)
    for path in ("link.html", "hard.html", "Rec.db", "./Rec.db", "sub/../Rec.db"):
        with pytest.raises(DataError, match="campaign file"):
            check_output(f"{tmp_path}/{path}", always, overwrite=overwrite)
    for ending in ("-wal", "-shm", "-journal", "-lock"):
        with pytest.raises(DataError, match="campaign file"):
            check_output(f"{record}{ending}", always, overwrite=overwrite)
    assert record.read_bytes() == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_output_of_an_input_of_the_command_raises(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "in.txt").write_text("text")
    (tmp_path / "link.txt").symlink_to("in.txt")
    os.link(tmp_path / "in.txt", tmp_path / "hard.txt")
    new = tmp_path / "Re\u0301sume.db"
    for path, other in (
        ("in.txt", tmp_path / "in.txt"),
        ("link.txt", tmp_path / "in.txt"),
        ("in.txt", tmp_path / "link.txt"),
        ("hard.txt", tmp_path / "in.txt"),
        ("RÉSUME.DB", new),  # one file on systems that fold case or compose letters
        ("Résume.db-wal", new),
        ("Re\u0301sume.db-lock", new),
    ):
        with pytest.raises(DataError, match="choose another name"):
            check_output(tmp_path / path, TEXT, overwrite=overwrite, apart_from=[other])


@pytest.mark.parametrize(
    ("marker", "name"),
    [
        ("model.json", "prior.safetensors"),
        ("model.json", "metrics.jsonl"),
        ("model.json", "model.json"),
        ("prepare.json", "train.csv"),
        ("prepare.json", "valid.smi"),
    ],
)
def test_check_output_of_a_file_of_a_model_or_data_folder_raises(
    tmp_path: Path, marker: str, name: str
) -> None:
    (tmp_path / marker).write_text("text")
    with pytest.raises(DataError, match="folder, which nothing else replaces"):
        check_output(tmp_path / name, TEXT, overwrite=True)
    check_output(tmp_path / "report.html", TEXT)


def test_check_output_of_a_folder_with_an_input_raises(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("mark", "in.smi"):
        (tmp_path / "data" / name).write_text("CCO")
    with pytest.raises(DataError, match=r"holds in\.smi"):
        check_output(
            tmp_path / "data", FOLDER, overwrite=True, apart_from=[tmp_path / "data" / "in.smi"]
        )


@pytest.mark.parametrize("overwrite", [False, True])
def test_replacing_checks_again_at_the_moment_of_writing(tmp_path: Path, overwrite: bool) -> None:
    file = tmp_path / "a.txt"

    def be_late() -> None:
        with replacing(file, TEXT, overwrite=overwrite) as draft:
            draft.write_text("text")
            file.write_text("theirs")

    with pytest.raises(DataError, match="did not write it as a text"):
        be_late()
    assert file.read_text() == "theirs"
    assert names(tmp_path) == ["a.txt"]


def contents() -> dict[str, bytes]:
    """A file of each format that can carry a stamp."""
    figure = Figure(figsize=(1, 1))
    made = {"html": b"<!doctype html>\n<p>1</p>\n", "json": b'{\n "a": {"b": 1}\n}\n'}
    for ending in ("svg", "pdf", "png"):
        with io.BytesIO() as file:
            figure.savefig(file, format=ending)
            made[ending] = file.getvalue()
    return made


def test_replacing_of_a_stamped_output_is_refused_if_edited(tmp_path: Path) -> None:
    kind, other = (Kind(name="a x", stamp=word, error=DataError) for word in ("plate", "report"))
    for ending, content in contents().items():
        file = tmp_path / f"a.{ending}"
        for _ in range(2):
            with replacing(file, kind, overwrite=True) as draft:
                draft.write_bytes(content)
        written = file.read_bytes()
        assert has_valid_stamp(file, "plate")
        assert not has_valid_stamp(file, "report")
        for edited in (content, written + b" ", written.replace(b"1", b"2", 1)):
            file.write_bytes(edited)
            for one in (kind, other):
                with pytest.raises(DataError, match="edited"):
                    check_output(file, one, overwrite=True)
        file.write_bytes(written)
        with pytest.raises(DataError, match="edited"):
            check_output(file, other, overwrite=True)
        check_output(file, kind, overwrite=True)


def test_add_stamp_keeps_the_file_format(tmp_path: Path) -> None:
    for ending, content in contents().items():
        (tmp_path / f"a.{ending}").write_bytes(add_stamp(content, "plate"))
    assert json.loads((tmp_path / "a.json").read_text()).keys() == {"a", "stamp"}
    ElementTree.parse(tmp_path / "a.svg")
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["molvae"].startswith("molvae plate sha256:")
    assert (tmp_path / "a.pdf").read_bytes().count(b"%%EOF") == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_replacing_after_an_error_keeps_the_old_file(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a.txt"
    write(file, "text 1")

    def break_off() -> None:
        with replacing(file, TEXT, overwrite=True) as draft:
            draft.write_text("text 2")
            raise error

    expected = DataError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match=r"cannot write .*a\.txt: No space left|^$"):
        break_off()
    assert file.read_text() == "text 1"
    assert names(tmp_path) == ["a.txt"]


def test_replacing_keeps_permissions_and_otherwise_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "text")
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
        (tmp_path / "a.txt").chmod(0o600)
        write(tmp_path / "a.txt", "text", overwrite=True)
        assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_replacing_works_without_hard_links_and_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", no)
    monkeypatch.setattr("molvae._files._exchange", lambda one, other: False)
    write(tmp_path / "a.txt", "text")
    for content in ("1", "2"):
        with replacing(tmp_path / "f", FOLDER, overwrite=True) as draft:
            (draft / "mark").write_text(content)
        assert (tmp_path / "f" / "mark").read_text() == content
    assert names(tmp_path) == ["a.txt", "f"]


def test_write_atomically_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("precious")
    (tmp_path / "out").symlink_to("secret")
    write_atomically(tmp_path / "out", b"new")
    assert (tmp_path / "secret").read_text() == "precious"
    assert (tmp_path / "out").read_text() == "new"
    assert not (tmp_path / "out").is_symlink()
    assert names(tmp_path) == ["out", "secret"]


def test_remove_stale_drafts_removes_drafts_of_dead_processes_only(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom molvae._files import _draft\n"
        "folder = Path(sys.argv[1])\n_draft(folder / 'a.db').write_text('')\n"
        "_draft(folder / 'b').mkdir()\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = names(tmp_path)
    assert sorted(Path(name).suffix for name in left) == [".db", ".draft"]
    (tmp_path / f"{next(name for name in left if name.endswith('.db'))}-journal").touch()
    elsewhere = tmp_path / ".molvae-00000000-1-00000000.draft.html"
    old = tmp_path / ".molvae-00000000-1-11111111.draft.html"
    mine = tmp_path / ".something.draft"
    for path in (elsewhere, old, mine):
        path.touch()
    os.utime(old, (0, time.time() - 10 * 24 * 3600))
    with replacing(tmp_path / "f", FOLDER) as draft:
        (draft / "mark").touch()
        remove_stale_drafts(tmp_path)
        assert draft.exists()
    assert names(tmp_path) == sorted([elsewhere.name, mine.name, "f"])


def _swap_until_killed(folder: str) -> None:
    for n in range(100_000):
        with replacing(Path(folder), FOLDER, overwrite=True) as draft:
            (draft / "mark").write_text(str(n))
            (draft / "same").write_text(str(n))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs an exchange in one step")
def test_replacing_of_a_folder_killed_leaves_the_old_or_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    for round_ in range(8):
        process = multiprocessing.get_context("fork").Process(
            target=_swap_until_killed, args=(str(folder),)
        )
        process.start()
        while not folder.exists():
            time.sleep(0.001)
        time.sleep(0.01 + 0.007 * round_)
        process.kill()
        process.join()
        assert (folder / "mark").read_text() == (folder / "same").read_text()
    with replacing(folder, FOLDER, overwrite=True) as draft:
        (draft / "mark").touch()
    assert names(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egnp", r"\u202egnp"),
        ("\udcff", r"\udcff"),
        ("\x00\x7f", r"\x00\x7f"),
        ("a\tb\nc ü Ω €", "a\tb\nc ü Ω €"),
    ],
)
def test_visible_escapes_control_characters(text: str, seen: str) -> None:
    assert visible(text) == seen
