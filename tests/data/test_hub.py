"""Data sets of the Hub: over HTTP, from the cache, and without a network."""

import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

PAIRS = [("one house", "ein Haus"), ("two", "zwei"), ("", "drei")]
ROWS = [{"translation": {"en": source, "de": target}} for source, target in PAIRS]

IN_A_PROCESS = """
import sys
from seqlab.data.corpora import Languages, parallel_corpus
from seqlab.errors import UserError
try:
    corpus = parallel_corpus(sys.argv[1], sys.argv[2], Languages("en", "de"))
    print(list(zip(corpus["source"], corpus["target"])))
except UserError as error:
    print(error)
"""


def in_a_process(tmp_path, *arguments: str, **environment: str) -> tuple[str, str]:
    """What a process of its own prints of a corpus and on stderr, with none of this one's settings of the Hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, *arguments],
        env={**kept, "HF_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.rstrip("\n"), done.stderr


def test_without_a_network_one_line_says_what_else_there_is(tmp_path):
    line, stderr = in_a_process(tmp_path, "hub:bentrevett/multi30k", "train", HF_HUB_OFFLINE="1")
    assert line.startswith("cannot load hub:bentrevett/multi30k from the Hugging Face Hub: ")
    assert line.endswith(
        "without it, give a path prefix, two files with a comma between them, a .tsv, .jsonl or .parquet file, or "
        "phrasebook"
    )
    assert "\n" not in line and stderr == ""


def parquet(rows: list[dict]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


class Hub(http.server.BaseHTTPRequestHandler):
    """What ``datasets`` asks of the Hub: of a data set of files, and of one of a script and of tables made by it."""

    revisions: ClassVar = {"main": "a" * 40, "refs/convert/parquet": "b" * 40}
    files: ClassVar = {
        ("me/pairs", "a" * 40): {"train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()},
        ("me/script", "a" * 40): {"script.py": b"raise SystemExit('never to be run')"},
        ("me/script", "b" * 40): {
            "small/train/0000.parquet": parquet(ROWS),
            "large/train/0000.parquet": parquet(10 * ROWS),
        },
    }

    def do_GET(self):
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if match := re.fullmatch(r"/api/datasets/(me/\w+)(?:/revision/(.+?))?", path):
            sha = self.revisions.get(match[2] or "main", match[2])
            siblings = [{"rfilename": name} for name in self.files[match[1], sha]]
            self.answer(json.dumps({"id": match[1], "sha": sha, "tags": [], "siblings": siblings}).encode())
        elif match := re.fullmatch(r"/api/datasets/(me/\w+)/tree/(\w{40})/?(.*)", path):
            below = {name: data for name, data in self.files[match[1], match[2]].items() if name.startswith(match[3])}
            folders = {name.rpartition("/")[0].split("/", 1)[0] for name in below if "/" in name}
            folders |= {name.rpartition("/")[0] for name in below if "/" in name}
            tree = [{"type": "directory", "path": name, "oid": "1"} for name in sorted(folders) if name != match[3]]
            tree += [{"type": "file", "path": name, "size": len(data), "oid": "1"} for name, data in below.items()]
            self.answer(json.dumps(tree).encode())
        elif match := re.fullmatch(r"/datasets/(me/\w+)/resolve/(.+?)/([\w.]+|\w+/train/0000.parquet)", path):
            sha = self.revisions.get(match[2], match[2])
            content = self.files[match[1], sha].get(match[3])
            headers = {"ETag": f'"{match[1]}{sha}{match[3]}"'.replace("/", ""), "X-Repo-Commit": sha}
            if content is None:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})
            else:
                self.answer(content, **headers)
        else:
            self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

    do_HEAD = do_GET

    def answer(self, content: bytes, status: int = 200, **headers: str):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub() -> Iterator[dict[str, str]]:
    """The environment of a process that takes a server on this machine for the Hub."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
    server.shutdown()
    server.server_close()


def test_a_data_set_of_a_hub(tmp_path, hub):
    """Over HTTP, as from the real one; from the cache when that is gone; and nothing is shown without a terminal."""
    assert in_a_process(tmp_path, "hub:me/pairs", "train", **hub) == (str(PAIRS), "")
    found, warning = in_a_process(tmp_path, "hub:me/pairs", "train", HF_HUB_OFFLINE="1", **hub)
    assert found == str(PAIRS) and "Using the latest cached version" in warning


def test_a_data_set_of_a_script_is_read_from_the_tables_beside_it(tmp_path, hub):
    """A script is never run; a configuration is a folder."""
    assert in_a_process(tmp_path, "hub:me/script:small", "train", **hub) == (str(PAIRS), "")
