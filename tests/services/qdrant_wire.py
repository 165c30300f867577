"""A process that speaks the part of Qdrant's REST that our adapter uses, over Qdrant Edge shards in a folder.

    python tests/services/qdrant_wire.py FOLDER [--port 0] [--api-key KEY]

Prints one line of JSON, `{"port": ...}`, when it listens on the loopback address. For tests: where no Qdrant server can be
had, this shows that what goes over the wire is what the client sends and understands; it is no Qdrant.

`PUT /_fault {"kind": "hang" | "busy" | "cut" | "full" | null, "seconds": 0, "requests": 0}` makes the following requests
hang for so long, answer 503, break off in mid-reply, or say that the disk is full; for so many requests, or (0) until it is
told otherwise.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import socket
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import qdrant_edge as edge

Json = dict[str, Any]
_KINDS = {"keyword": edge.PayloadSchemaType.Keyword, "uuid": edge.PayloadSchemaType.Uuid}


class WireError(Exception):
    """What the server answers with another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Shards:
    """The collections of one folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._open: dict[str, tuple[edge.EdgeShard, Json]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.json"):
            config = json.loads(path.read_text())
            self._open[path.stem] = (edge.EdgeShard.load(str(folder / path.stem), _layout(config)), config)

    def names(self) -> list[str]:
        """Of all collections."""
        return sorted(self._open)

    def create(self, name: str, config: Json) -> None:
        """Make one."""
        with self._lock:
            if name in self._open:
                raise WireError(409, f"Wrong input: Collection `{name}` already exists!")
            (self._folder / name).mkdir()
            shard = edge.EdgeShard.create(str(self._folder / name), _layout(config))
            (self._folder / f"{name}.json").write_text(json.dumps(config))
            self._open[name] = (shard, config)

    def get(self, name: str) -> tuple[edge.EdgeShard, Json]:
        """One by name."""
        if name not in self._open:
            raise WireError(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._open[name]

    def close(self) -> None:
        """Let go of all."""
        for shard, _ in self._open.values():
            shard.close()


def _layout(config: Json) -> edge.EdgeConfig:
    (size,) = (each["size"] for each in config["vectors"].values())
    return edge.EdgeConfig(
        vectors={
            "dense": edge.EdgeVectorParams(size, edge.Distance.Cosine, datatype=edge.VectorStorageDatatype.Float16)
        },
        sparse_vectors={"sparse": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        max_search_threads=1,
        wal_enabled=True,
    )


def condition(said: Json) -> Any:
    """A condition of a filter."""
    if "has_id" in said:
        return edge.HasIdCondition({uuid.UUID(str(each)) for each in said["has_id"]})
    if "key" in said:
        match = said["match"]
        return edge.FieldCondition(
            said["key"], match=edge.MatchAny(match["any"]) if "any" in match else edge.MatchValue(match["value"])
        )
    return filter_of(said)


def filter_of(said: Json | None) -> Any:
    """A filter; None where there is none."""
    if said is None:
        return None

    def several(name: str) -> list[Any] | None:
        found = said.get(name)
        if found is None:
            return None
        return [condition(each) for each in (found if isinstance(found, list) else [found])]

    return edge.Filter(must=several("must"), should=several("should"), must_not=several("must_not"))


def collection_info(config: Json) -> Json:
    """What `GET /collections/{name}` tells, as far as the client reads it."""
    return {
        "status": "green",
        "optimizer_status": "ok",
        "segments_count": 1,
        "payload_schema": {},
        "config": {
            "params": {
                "vectors": config["vectors"],
                "sparse_vectors": config.get("sparse_vectors"),
                "shard_number": config.get("shard_number") or 1,
                "replication_factor": config.get("replication_factor") or 1,
                "write_consistency_factor": config.get("write_consistency_factor") or 1,
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
        },
    }


def _points(config: Json, body: Json) -> list[Any]:
    (size,) = (each["size"] for each in config["vectors"].values())
    made = []
    for each in body["points"]:
        dense, sparse = each["vector"]["dense"], each["vector"]["sparse"]
        if len(dense) != size:
            raise WireError(400, f"Wrong input: Vector dimension error: expected dim: {size}, got {len(dense)}")
        terms = edge.SparseVector(sparse["indices"], sparse["values"])
        made.append(edge.Point(uuid.UUID(each["id"]), {"dense": dense, "sparse": terms}, each.get("payload") or {}))
    return made


def _vectors(record: Any) -> Json:
    terms = record.vector["sparse"]
    return {
        "dense": list(record.vector["dense"]),
        "sparse": {"indices": list(terms.indices), "values": list(terms.values)},
    }


def _search(shard: edge.EdgeShard, said: Json) -> list[Json]:
    nearest = said["query"]["nearest"]
    vector = edge.SparseVector(nearest["indices"], nearest["values"]) if isinstance(nearest, dict) else nearest
    params = said.get("params") or {}
    corpus = params.get("idf")
    statistics = edge.IdfParams(filter_of(corpus["corpus"])) if isinstance(corpus, dict) else None
    request = edge.QueryRequest(
        limit=said["limit"],
        query=edge.Query.Nearest(vector, using=said["using"]),
        filter=filter_of(said.get("filter")),
        params=edge.SearchParams(exact=True, idf=statistics) if statistics else edge.SearchParams(exact=True),
    )
    return [{"id": str(each.id), "version": 0, "score": each.score} for each in shard.query(request)]


def answer(shards: Shards, method: str, path: str, body: Json) -> Any:
    """The result of a request. Raises WireError."""
    parts = path.strip("/").split("/")
    if path == "/":
        return None
    if parts == ["collections"]:
        return {"collections": [{"name": name} for name in shards.names()]}
    name, rest = urllib.parse.unquote(parts[1]), "/".join(parts[2:])
    if rest == "exists":
        return {"exists": name in shards.names()}
    if (method, rest) == ("PUT", ""):
        shards.create(name, body)
        return True
    shard, config = shards.get(name)
    if (method, rest) == ("GET", ""):
        return collection_info(config)
    return _of_collection(shard, config, f"{method} {rest}", body)


def _of_collection(shard: edge.EdgeShard, config: Json, what: str, body: Json) -> Any:  # noqa: PLR0911 - a table of routes
    done = {"operation_id": 0, "status": "completed"}
    update = edge.UpdateOperation
    match what:
        case "PUT index":
            schema = body["field_schema"]
            shard.update(update.create_field_index(body["field_name"], _KINDS[schema]))
            return done
        case "PUT points":
            shard.update(update.upsert_points(_points(config, body)))
            return done
        case "POST points":
            ids: list[int | uuid.UUID | str] = [uuid.UUID(str(each)) for each in body["ids"]]
            wanted = bool(body.get("with_vector"))
            found = shard.retrieve(ids, with_payload=body.get("with_payload", False), with_vector=wanted)
            return [
                {"id": str(each.id), "payload": each.payload, **({"vector": _vectors(each)} if wanted else {})}
                for each in found
            ]
        case "POST points/payload":
            shard.update(update.set_payload_by_filter(filter_of(body["filter"]), body["payload"]))
            return done
        case "POST points/delete":
            shard.update(update.delete_points_by_filter(filter_of(body["filter"])))
            return done
        case "POST points/count":
            return {"count": shard.count(edge.CountRequest(exact=True, filter=filter_of(body.get("filter"))))}
        case "POST points/scroll":
            offset = body.get("offset")
            page = edge.ScrollRequest(
                offset=uuid.UUID(offset) if offset else None,
                limit=body["limit"],
                with_payload=body["with_payload"],
                filter=filter_of(body["filter"]) if body.get("filter") else None,
            )
            records, following = shard.scroll(page)
            return {
                "points": [{"id": str(each.id), "payload": each.payload} for each in records],
                "next_page_offset": None if following is None else str(following),
            }
        case "POST points/query/batch":
            return [{"points": _search(shard, each)} for each in body["searches"]]
        case "POST facet":
            hits = shard.facet(edge.FacetRequest(body["key"], limit=body["limit"], exact=True))
            return {"hits": [{"value": each.value, "count": each.count} for each in hits]}
        case _:
            raise WireError(404, f"no such route here: {what}")


class Fault:
    """What goes wrong with requests, and for how many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kind: str | None = None
        self._seconds = 0.0
        self._left = 0  # 0: until told otherwise

    def set(self, said: Json) -> None:
        """Begin or end to do harm."""
        with self._lock:
            self._kind, self._seconds = said.get("kind"), float(said.get("seconds", 0))
            self._left = int(said.get("requests", 0))

    def take(self) -> tuple[str | None, float]:
        """What happens to this request."""
        with self._lock:
            kind = self._kind
            if kind is not None and self._left:
                self._left -= 1
                if not self._left:
                    self._kind = None
            return kind, self._seconds


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    shards: Shards
    fault: Fault
    api_key: str | None = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Nothing is logged."""

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.urlsplit(self.path).path
        said = json.loads(body) if body else {}
        if path == "/_fault":
            self.fault.set(said)
            self._reply(200, {"result": True})
            return
        kind, seconds = self.fault.take()
        if kind == "hang":
            time.sleep(seconds)
        if kind == "cut":
            self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if kind == "busy":
            self._reply(503, {"status": {"error": "Service unavailable"}})
            return
        if kind == "full" and self.command == "PUT":
            self._reply(500, {"status": {"error": "Service internal error: No space left on device"}})
            return
        if self.api_key and self.headers.get("api-key") != self.api_key:
            self._reply(401, {"status": {"error": "Must provide an API key"}})
            return
        if path == "/":
            self._reply(200, {"title": "qdrant - vector search engine", "version": "1.20.0", "commit": ""})
            return
        try:
            self._reply(200, {"result": answer(self.shards, self.command, path, said), "status": "ok", "time": 0.0})
        except WireError as error:
            self._reply(error.status, {"status": {"error": str(error)}, "time": 0.0})

    def _reply(self, status: int, value: Json) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """Many connections."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key")
    arguments = parser.parse_args()
    Handler.shards = Shards(arguments.folder)
    Handler.fault = Fault()
    Handler.api_key = arguments.api_key
    with Server(("127.0.0.1", arguments.port), Handler) as server:
        sys.stdout.write(json.dumps({"port": server.server_address[1]}) + "\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
