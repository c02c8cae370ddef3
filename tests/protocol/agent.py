"""A small agent that uses only what docs/PROTOCOL.md says: it joins, takes `noop` tasks, tells
what came of them, loses its connection and then its process, and goes on. It proves the page.

    agent.py BROKER_PORT HTTP_URL JOIN_TOKEN_FILE FOLDER
"""

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import sys
import threading
import time
import urllib.request
import uuid
from datetime import datetime, timezone

import paho.mqtt.client as mqtt

AGENT = "stranger-1"
TOPIC = f"ambit/v1/agents/{AGENT}"
PATIENCE_S = 30


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def seal(key, topic, body):
    return mac(key, topic.encode() + b"\n" + body).hex().encode() + b"\n" + body


def unseal(key, topic, payload):
    if len(payload) > 262144 or payload[64:65] != b"\n":
        return None
    right = mac(key, topic.encode() + b"\n" + payload[65:]).hex().encode()
    return payload[65:] if hmac.compare_digest(right, payload[:64]) else None


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp():
    return {"board": 1, "mono_ms": time.monotonic_ns() // 1_000_000, "trusted": True}


class Disk:
    """What has to survive, in one database."""

    def __init__(self, folder):
        self.db = sqlite3.connect(os.path.join(folder, "agent.db"), check_same_thread=False)
        with self.db:
            self.db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT)")
            self.db.execute("CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, report TEXT)")
            self.db.execute("CREATE TABLE IF NOT EXISTS known (id TEXT PRIMARY KEY)")
            if self.get("incarnation") is None:
                self.put("incarnation", str(uuid.uuid4()))
            self.put("boot", self.number("boot") + 1)

    def get(self, name):
        row = self.db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row and row[0]

    def number(self, name):
        return int(self.get(name) or 0)

    def put(self, name, value):
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def report(self, row, event):
        seq = self.number("last_seq") + 1
        self.put("last_seq", seq)
        report = {"seq": seq, "task": row["task"], "attempt": row["attempt"]}
        report |= {"at": now(), "stamp": stamp(), "event": event}
        self.db.execute("INSERT INTO outbox VALUES (?, ?)", (seq, json.dumps(report)))


class Agent:
    """One start of the agent's process."""

    def __init__(self, port, token, folder):
        self.port, self.token, self.disk = port, token, Disk(folder)
        self.session = secrets.randbits(32)
        self.link = self.beat = self.hello = 0
        self.core, self.met, self.joined = None, threading.Event(), threading.Event()
        self.client = self.key = None
        self.lock = threading.RLock()

    def connect(self, client_id, password, key, will=None):
        self.key = key
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5
        )
        client.username_pw_set(AGENT, password)
        if will is not None:
            client.will_set(f"{TOPIC}/will", will, qos=1)
        up = threading.Event()
        client.on_connect = lambda c, *_: c.subscribe(f"{TOPIC}/down", qos=1)
        client.on_subscribe = lambda *_: up.set()
        client.on_message = lambda _c, _u, message: self.hear(message)
        self.client = client
        client.connect("127.0.0.1", self.port, keepalive=30, clean_start=True)
        client.loop_start()
        assert up.wait(PATIENCE_S), "the broker does not let this agent in"

    def hang_up(self):
        self.met.clear()
        self.client.disconnect()
        self.client.loop_stop()

    def say(self, kind, **fields):
        body = json.dumps({"v": 1, "type": kind, **fields}).encode()
        self.client.publish(f"{TOPIC}/up", seal(self.key, f"{TOPIC}/up", body), qos=1)

    def root(self):
        if self.disk.get("root") is None:
            nonce = secrets.token_hex(32)
            key = mac(self.token, b"ambit/v1/join\n" + AGENT.encode())
            password = mac(self.token, b"ambit/v1/join-password\n" + AGENT.encode()).hex()
            self.connect(f"join-{AGENT}-{secrets.token_hex(8)}", password, key)
            for _ in range(5):
                self.say("join", nonce=nonce, incarnation=self.disk.get("incarnation"))
                if self.joined.wait(3):
                    break
            assert self.joined.is_set(), "nobody answers the join"
            self.hang_up()
            text = f"ambit/v1/credential\n{AGENT}\n{nonce}"
            with self.disk.db:
                self.disk.put("root", mac(self.token, text.encode()).hex())
        return bytes.fromhex(self.disk.get("root"))

    def whoami(self):
        return {"incarnation": self.disk.get("incarnation"), "session": self.session}

    def start(self):
        root = self.root()
        self.link += 1
        key = mac(root, b"ambit/v1/seal")
        gone = {"v": 1, "type": "gone", **self.whoami(), "boot": self.disk.number("boot")}
        gone |= {"link": self.link, "orderly": False}
        will = seal(key, f"{TOPIC}/will", json.dumps(gone).encode())
        self.connect(AGENT, mac(root, b"ambit/v1/password").hex(), key, will)
        for _ in range(5):
            self.greet()
            if self.met.wait(3):
                return
        raise AssertionError("nobody answers the hello")

    def place(self):
        return {
            "boot": self.disk.number("boot"), "link": self.link, "beat": self.beat,
            "core": self.disk.get("core"), "applied_rev": self.disk.number("applied_rev"),
            "acked_seq": self.disk.number("acked_seq"), "sent_at": now(), "stamp": stamp(),
            "load": {"cpu": 0.1, "memory": 0.1, "disk": 0.1},
        }

    def greet(self):
        self.beat += 1
        self.hello = self.beat
        facts = {
            "version": "stranger", "position": {"latitude": 1.5, "longitude": 2.5},
            "arch": "python", "capacity": {"cpu_millis": 1000}, "tasks_max": 1000,
            "runtimes": ["noop"],
        }
        inventory = {"part": 0, "parts": 1, "holds": []}
        last = self.disk.number("last_seq")
        self.say("hello", **self.whoami(), **self.place(), facts=facts, last_seq=last,
                 inventory=inventory)

    def heartbeat(self):
        with self.lock:
            if not self.met.is_set():
                return
            self.beat += 1
            self.say("heartbeat", **self.whoami(), **self.place(), hello=self.hello, rtt_ms=None,
                     position=None, held=0)
            self.say("ping", nonce=self.beat, session=self.session)
            self.tell()

    def tell(self):
        acked = self.disk.number("acked_seq")
        rows = self.disk.db.execute(
            "SELECT report FROM outbox WHERE seq > ? ORDER BY seq LIMIT 200", (acked,)
        ).fetchall()
        items = [json.loads(row[0]) for row in rows]
        if items:
            self.say("reports", **self.whoami(), after=acked, items=items, upto=items[-1]["seq"])

    def hear(self, message):
        body = unseal(self.key, message.topic, message.payload)
        if body is None:
            return
        with self.lock:
            self.take(json.loads(body))

    def take(self, said):
        kind, disk = said["type"], self.disk
        mine = said.get("incarnation") == disk.get("incarnation")
        if kind == "joined":
            self.joined.set()
        elif kind == "welcome" and mine and said["session"] == self.session:
            if said["beat"] == self.hello:
                with disk.db:
                    disk.put("core", said["core"])
                    disk.put("acked_seq", said["acked_seq"])
                self.met.set()
                self.tell()
        elif kind == "who_is_there" and self.met.is_set():
            self.met.clear()
            self.greet()
        elif kind == "acked" and mine and said["core"] == disk.get("core"):
            if disk.number("acked_seq") < said["seq"] <= disk.number("last_seq"):
                with disk.db:
                    disk.put("acked_seq", said["seq"])
                    disk.db.execute("DELETE FROM outbox WHERE seq <= ?", (said["seq"],))
                self.tell()
        elif kind == "desired" and mine and said["core"] == disk.get("core"):
            if said["base"] <= disk.number("applied_rev") < said["upto"]:
                with disk.db:
                    self.apply(said)
                self.tell()

    def apply(self, said):
        for row in sorted(said["rows"], key=lambda row: row["rev"]):
            name = f"{row['task']}.{row['attempt']}"
            known = self.disk.db.execute("SELECT 1 FROM known WHERE id = ?", (name,)).fetchone()
            if row["rev"] <= self.disk.number("applied_rev") or known:
                continue
            self.disk.db.execute("INSERT INTO known VALUES (?)", (name,))
            if "run" in row["want"]:
                self.disk.report(row, {"kind": "accepted"})
                end = {"how": "exited", "code": 0}
            else:
                end = {"how": "stopped", "reason": row["want"]["stop"]["reason"]}
            finish = {"kind": "finished", "end": end, "started_at": None, "ran_ms": 0, "output": {}}
            self.disk.report(row, finish)
        self.disk.put("applied_rev", said["upto"])


def call(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)


def submit(url, count):
    task = {"run": {"noop": {}}, "where": {"agents": [AGENT]}}
    return [call(f"{url}/v1/tasks", task)["id"] for _ in range(count)]


def wait_for(agent, url, tasks, what):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = [call(f"{url}/v1/tasks/{task}") for task in tasks]
        if all(task["status"] == "succeeded" for task in found):
            attempts = {len(task["assignments"]) for task in found}
            assert attempts == {1}, f"{what}: {attempts} attempts"
            print(f"protocol-agent: {len(tasks)} tasks {what}")
            return
        agent.heartbeat()
        time.sleep(0.5)
    raise AssertionError(f"tasks {what}: {[task['status'] for task in found]}")


def main():
    port, url, token_file, folder = sys.argv[1:]
    with open(token_file, "rb") as file:
        token = file.read().rstrip(b"\r\n")
    agent = Agent(int(port), token, folder)
    agent.start()
    wait_for(agent, url, submit(url, 20), "after joining")
    # Nobody is there to hear of these when they are placed.
    agent.hang_up()
    tasks = submit(url, 10)
    agent.start()
    wait_for(agent, url, tasks, "after a connection was lost")
    agent.hang_up()
    agent.disk.db.close()
    tasks = submit(url, 10)
    agent = Agent(int(port), token, folder)
    agent.start()
    wait_for(agent, url, tasks, "after the process was started again")
    assert agent.disk.db.execute("SELECT count(*) FROM outbox").fetchone()[0] == 0
    agent.hang_up()


main()
