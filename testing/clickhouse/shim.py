"""ClickHouse's HTTP interface over chdb, which is the real engine without its network part.

    python3 shim.py DATA_FOLDER [PORT]

prints the port as its first line and serves on loopback until it is killed; DATA_FOLDER keeps the
databases. What it knows of the interface is what Sekisho uses: POST with the query in the body, or in
the parameter `query` with rows in the body; further parameters are settings; user and key in headers
(the key must be what the file DATA_FOLDER/password holds, if it is there); errors as status 4xx or 5xx
with X-ClickHouse-Exception-Code; gzip in both directions where it is asked for.

For tests: the parameter `shim_drop=N` makes it close the connection without an answer after each of
the next N requests that insert rows, which it has carried out; with `shim_skip=K`, after K that it answers.
"""

import gzip
import os
import re
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

# Parameters that are no settings.
KNOWN = {"query", "database", "user", "password", "wait_end_of_query", "enable_http_compression"}
STATUS = {516: 403, 497: 403, 60: 404, 81: 404, 62: 400, 46: 400, 47: 400, 159: 408}


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Engine:
    def __init__(self, folder):
        self.folder = folder
        self.session = Session(os.path.join(folder, "db"))
        self.lock = threading.Lock()
        self.drops = 0
        self.skips = 0

    def run(self, sql, output="TabSeparated"):
        try:
            return self.session.query(sql, output).bytes()
        except Exception as error:  # chdb raises RuntimeError, and others
            text = str(error)
            code = re.search(r"Code: (\d+)", text)
            raise Refused(int(code.group(1)) if code else 1002, text) from error

    def password(self):
        path = os.path.join(self.folder, "password")
        return open(path).read().rstrip("\n") if os.path.exists(path) else None

    def answer(self, sql, settings, rows, database):
        """Carries out one query; its settings last no longer."""
        assigned = ", ".join(f"{key} = {quoted(value)}" for key, value in settings)
        with self.lock:
            # A database that is not there is an error of the query, not of the session.
            known = self.run(f"SELECT count() FROM system.databases WHERE name = {quoted(database)}")
            if known.strip() == b"0":
                raise Refused(81, f"Code: 81. DB::Exception: Database {database} does not exist. (UNKNOWN_DATABASE)")
            self.run(f"USE {database}")
            if rows is not None:
                return self.insert(sql, assigned, rows)
            if not re.match(r"\s*(SELECT|WITH)\b", sql, re.I):
                if assigned and re.match(r"\s*INSERT\b", sql, re.I):
                    sql = re.sub(r"\bVALUES\b", lambda _: f"SETTINGS {assigned} VALUES", sql, count=1)
                return self.run(sql)
            sql, output = re.subn(r"\s+FORMAT\s+(\w+)\s*$", "", sql), re.search(r"\sFORMAT\s+(\w+)\s*$", sql)
            sql = sql[0] + (f" SETTINGS {assigned}" if assigned else "")
            return self.run(sql, output.group(1) if output else "TabSeparated")

    def insert(self, sql, assigned, rows):
        found = re.match(r"(?s)(INSERT INTO .*?)\s+FORMAT\s+(\w+)\s*$", sql)
        if not found:
            raise Refused(62, "Code: 62. DB::Exception: rows in the body need INSERT ... FORMAT. (SYNTAX_ERROR)")
        with tempfile.NamedTemporaryFile(dir=self.folder) as file:
            file.write(rows)
            file.flush()
            settings = f" SETTINGS {assigned}" if assigned else ""
            return self.run(f"{found[1]} FROM INFILE '{file.name}'{settings} FORMAT {found[2]}")


def quoted(text):
    if re.fullmatch(r"\d+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine = None

    def do_GET(self):
        self.reply(200, b"Ok.\n", {})

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        given = parse_qsl(urlsplit(self.path).query, keep_blank_values=True)
        parameters = dict(given)
        if "shim_drop" in parameters:
            self.engine.drops = int(parameters["shim_drop"])
            self.engine.skips = int(parameters.get("shim_skip", 0))
            return self.reply(200, b"", {})
        rows = body if "query" in parameters else None
        sql = parameters.get("query", body.decode("utf-8", "replace") if rows is None else "")
        settings = [(key, value) for key, value in given if key not in KNOWN]
        database = self.headers.get("X-ClickHouse-Database", parameters.get("database", "default"))
        try:
            key = self.headers.get("X-ClickHouse-Key", "")
            if self.engine.password() not in (None, key):
                user = self.headers.get("X-ClickHouse-User", "default")
                raise Refused(516, f"Code: 516. DB::Exception: {user}: Authentication failed. (AUTHENTICATION_FAILED)")
            answer = self.engine.answer(sql, settings, rows, database)
        except Refused as refused:
            headers = {"X-ClickHouse-Exception-Code": str(refused.code)}
            return self.reply(STATUS.get(refused.code, 500), str(refused).encode() + b"\n", headers)
        if rows is not None and self.engine.skips > 0:
            self.engine.skips -= 1
        elif rows is not None and self.engine.drops > 0:
            self.engine.drops -= 1
            self.close_connection = True
            return None
        return self.reply(200, answer, {})

    def reply(self, status, body, headers):
        asked = self.headers.get("Accept-Encoding", "")
        if "gzip" in asked and "enable_http_compression=1" in self.path:
            body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    folder = os.path.abspath(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
    Handler.engine = Engine(folder)
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
