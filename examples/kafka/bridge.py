#!/usr/bin/env python3
"""Takes the batches of a Sekisho sink (a webhook) and gives them to Kafka, a message for each record.

A batch is answered with 204 only when all replicas in sync have all of it; otherwise with 503, and the
sink, whose queue is on disk, sends it again. So each record arrives at least once. The number of its
batch is in a header, for who wants to leave out doubles.
"""

import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from confluent_kafka import Producer

TOPIC = os.environ.get("TOPIC", "sekisho.edges")
SECRET = os.environ.get("SECRET", "").encode()
BODY_BYTES_MAX = 64 << 20
CLOCK_S_MAX = 300
# Any setting of librdkafka: TLS, SASL and so on.
SETTINGS = {"enable.idempotence": True, "acks": "all", "delivery.timeout.ms": 20_000}
SETTINGS.update(json.loads(os.environ.get("KAFKA", '{"bootstrap.servers": "127.0.0.1:9092"}')))
PRODUCER = Producer(SETTINGS)


def is_signed(headers, body):
    """Whether the batch is from who knows the secret, and not an old one sent again by others."""
    if not SECRET:
        return True
    moment = headers.get("X-Sekisho-Timestamp", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > CLOCK_S_MAX:
        return False
    signed = hmac.new(SECRET, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest("sha256=" + signed, headers.get("X-Sekisho-Signature", ""))


def key(record):
    """Records of one edge stay in order: one key, one partition."""
    info = record.get("finding_info")
    if info:
        return info["uid"]
    ends = [record.get(end, {}) for end in ("source", "destination")]
    names = [f"{end.get('namespace', '')}/{end.get('workload', '')}" for end in ends]
    return f"{record.get('cluster', '')} {' '.join(names)} {record.get('port', '')}"


class Batch(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            return self.answer(413)
        body = self.rfile.read(length)
        if not is_signed(self.headers, body):
            return self.answer(401)
        failed = []

        def told(error, _message):
            if error is not None:
                failed.append(error)

        number = self.headers.get("X-Sekisho-Batch", "")
        for line in body.splitlines():
            PRODUCER.produce(TOPIC, line, key(json.loads(line)), on_delivery=told,
                             headers={"sekisho-batch": number})
            PRODUCER.poll(0)
        waiting = PRODUCER.flush(25)
        return self.answer(503 if failed or waiting else 204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, form, *words):
        print(form % words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:8080").rpartition(":")
    ThreadingHTTPServer((host, int(port)), Batch).serve_forever()
