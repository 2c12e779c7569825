"""Data sets of the Hub: over HTTP, from the cache, and without a network."""

import http.server
import json
import os
import subprocess
import sys
import threading
from typing import ClassVar

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


REVISION = "a" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """What ``datasets`` asks of the Hub, of one data set ``me/pairs``."""

    files: ClassVar = {"train.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()}

    def do_GET(self):
        path, _, name = self.path.partition("?")[0].rpartition("/")
        if path == f"/datasets/me/pairs/resolve/{REVISION}" and name in self.files:
            self.answer(self.files[name], ETag='"1"', **{"X-Repo-Commit": REVISION})
        elif f"{path}/{name}" == f"/api/datasets/me/pairs/tree/{REVISION}":
            files = [{"type": "file", "path": name, "size": len(data), "oid": "1"} for name, data in self.files.items()]
            self.answer(json.dumps(files).encode())
        elif f"{path}/{name}" in ("/api/datasets/me/pairs", f"/api/datasets/me/pairs/revision/{REVISION}"):
            files = [{"rfilename": name} for name in self.files]
            self.answer(json.dumps({"id": "me/pairs", "sha": REVISION, "tags": [], "siblings": files}).encode())
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


def test_a_data_set_of_a_hub(tmp_path):
    """Over HTTP, as from the real one; from the cache when that is gone; and nothing is shown without a terminal."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "NO_PROXY": "127.0.0.1"}
    assert in_a_process(tmp_path, "hub:me/pairs", "train", **settings) == (str(PAIRS), "")
    server.shutdown()
    server.server_close()
    found, warning = in_a_process(tmp_path, "hub:me/pairs", "train", HF_HUB_OFFLINE="1", **settings)
    assert found == str(PAIRS) and "Using the latest cached version" in warning
