"""A Git repository, and a real server for it: dulwich's own, on this machine alone."""

import base64
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from ssl import SSLContext
from typing import Any
from wsgiref.simple_server import make_server

from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit, ObjectID, Tag
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_wsgi_chain

FILE = 0o100644


class Repository:
    """A bare repository that gets commits without a working tree."""

    def __init__(self, path: Path) -> None:
        self.repo = Repo.init_bare(str(path), mkdir=True)

    def commit(self, files: Mapping[str, bytes | tuple[int, bytes]], *, branch: str = "main") -> ObjectID:
        """Make `files` all that there is, and have the branch, and HEAD, name that."""
        entries = []
        for name, given in files.items():
            mode, content = given if isinstance(given, tuple) else (FILE, given)
            blob = Blob.from_string(content)
            self.repo.object_store.add_object(blob)
            entries.append((name.encode(), blob.id, mode))
        return self.commit_of(commit_tree(self.repo.object_store, entries), branch=branch)

    def commit_of(self, tree: ObjectID, *, branch: str = "main") -> ObjectID:
        """Have the branch, and HEAD, name a commit of this tree."""
        commit = Commit()
        commit.tree, commit.message = tree, b"A change"
        commit.author = commit.committer = b"Ann <ann@example.com>"
        commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
        commit.parents = [self.repo.refs[name] for name in [f"refs/heads/{branch}".encode()] if name in self.repo.refs]
        self.repo.object_store.add_object(commit)
        self.repo.refs[f"refs/heads/{branch}".encode()] = commit.id
        self.repo.refs.set_symbolic_ref(b"HEAD", f"refs/heads/{branch}".encode())
        return commit.id

    def tag(self, name: str, commit: ObjectID) -> None:
        """An annotated tag."""
        tag = Tag()
        tag.name, tag.object, tag.message = name.encode(), (Commit, commit), b"A release"
        tag.tagger, tag.tag_time, tag.tag_timezone = b"Ann <ann@example.com>", 0, 0
        self.repo.object_store.add_object(tag)
        self.repo.refs[f"refs/tags/{name}".encode()] = tag.id


class Server(ThreadingMixIn, WSGIServerLogger):
    daemon_threads = True


class Asked(list[str]):
    """The requests that came, as `METHOD path`, and what the server wants to see."""

    password: str | None = None


def git_server(repository: Repository, asked: Asked | None = None) -> Any:
    """dulwich's server for the repository, as a WSGI application, at `/settings.git`."""
    app, asked = make_wsgi_chain(DictBackend({"/settings.git": repository.repo})), Asked() if asked is None else asked

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        login = base64.b64encode(f"git:{asked.password}".encode()).decode()
        if asked.password and environ.get("HTTP_AUTHORIZATION") != f"Basic {login}":
            start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
            return [b""]
        return app(environ, start_response)

    return answer


@contextmanager
def served(app: Any, tls: SSLContext | None = None) -> Iterator[str]:
    """The address of a WSGI application, until the context ends."""
    server = make_server("127.0.0.1", 0, app, Server, WSGIRequestHandlerLogger)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
