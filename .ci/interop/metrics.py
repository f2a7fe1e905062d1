"""Loads examples/edge, lets Prometheus scrape it, and evaluates what deploy/ asks of its metrics.

usage: metrics.py CI_WORK TMP DEPLOY

CI_WORK has bin/edge, bin/h3client, cert.pem and key.pem; TMP is for files.
"""

import http.server
import json
import math
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

work, tmp, deploy = (pathlib.Path(arg).resolve() for arg in sys.argv[1:4])
PATIENCE = 120  # seconds, on a busy machine


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = {"/missing": 404, "/broken": 500}.get(self.path, 200)
        body = bytes(100_000)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *args):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url):
    # Prometheus and the edge are here: a proxy of the environment is not asked.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return answer.read().decode()


def wait_for(what, process, ready):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if value := ready():
                return value
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"FAILED: {what} does not get ready")
        time.sleep(0.1)


def promtool(*args, **options):
    done = subprocess.run(["promtool", *args], capture_output=True, text=True, **options)
    # "check metrics" prints what its lint finds, and may end with status 0
    if done.returncode or "error" in done.stderr.lower():
        sys.exit(f"FAILED: promtool {' '.join(map(str, args))}: {done.stdout}{done.stderr}")


class Load(threading.Thread):
    """Clients of many kinds, one after the other, until stop is set."""

    def __init__(self, addr):
        super().__init__(daemon=True)
        self.addr, self.stop, self.failure, self.runs = addr, threading.Event(), None, 0

    def run(self):
        url = f"https://{self.addr}"
        data, sessions = tmp / "data", tmp / "sessions"
        data.write_bytes(bytes(300_000))
        kinds = [
            ["-parallel", "8", "-O", "-output-dir", str(tmp)] + [f"{url}/{i}" for i in range(16)],
            [f"{url}/missing", f"{url}/broken"],
            ["-d", f"@{data}", f"{url}/post"],
            ["-session-file", str(sessions), "-0rtt", f"{url}/early"],
            ["-key-update", "1ms", "-migrate", "5ms", f"{url}/moves"],
        ]
        noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        host, port = self.addr.rsplit(":", 1)
        while not self.stop.is_set():
            for kind in kinds:
                noise.sendto(bytes([0xC0]) + bytes(1300), (host, int(port)))
                command = [work / "bin/h3client", "-insecure", *kind]
                done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE)
                if done.returncode and "missing" not in kind[0]:
                    self.failure = done.stderr.decode()
            self.runs += 1


def expressions():
    """Yields what the dashboard and the alerts ask for, each with where it stands."""
    dashboard = json.loads((deploy / "grafana/lazo.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"].replace("$__rate_interval", "10s")
            yield f"panel {panel['title']!r}", re.sub(r"\$(job|instance)\b", ".*", expr)
    rules = json.loads(fetch(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    for rule in (rule for group in rules for rule in group["rules"]):
        # What it looks at is the rule without its comparisons, and without the values of labels:
        # some of them should not occur here.
        query = re.sub(r"\[\d+m\]", "[10s]", re.sub(r"\{[^}]*\}", "", rule["query"]))
        for part in re.split(r"\band\b", query):
            yield f"alert {rule['name']}", re.sub(r"[<>] [\d.]+\s*$", "", part.strip())


def values(expr):
    answer = json.loads(fetch(f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"))
    return [float(sample["value"][1]) for sample in answer["data"]["result"]]


def empty(asked):
    """Returns those that have no value that is a number."""
    return [(where, expr) for where, expr in asked if all(map(math.isnan, values(expr)))]


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
admin, port = free_port(), free_port()
prometheus = f"http://127.0.0.1:{port}"

(tmp / "edge.yaml").write_text(
    f"""
listen: 127.0.0.1:0
admin: 127.0.0.1:{admin}
access_log: false
certificates:
  - cert: {work / "cert.pem"}
    key: {work / "key.pem"}
pools:
  all:
    backends: ["http://127.0.0.1:{backend.server_port}"]
routes:
  - pool: all
"""
)
(tmp / "prometheus.yml").write_text(
    f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{deploy / "prometheus/alerts.yml"}"]
scrape_configs:
  - job_name: edge
    static_configs: [{{targets: ["127.0.0.1:{admin}"]}}]
"""
)
promtool("check", "config", tmp / "prometheus.yml")
promtool("check", "rules", deploy / "prometheus/alerts.yml")

started = []
load = None
try:
    edge_log = (tmp / "edge.out").open("w+")
    edge = subprocess.Popen([work / "bin/edge", "-config", tmp / "edge.yaml"], stdout=edge_log, stderr=subprocess.STDOUT)
    started.append(edge)
    serving = lambda: re.search(r"serving https://([^/]+)/", (tmp / "edge.out").read_text())
    load = Load(wait_for("edge", edge, serving).group(1))
    load.start()
    server = subprocess.Popen(
        ["prometheus", f"--config.file={tmp / 'prometheus.yml'}", f"--storage.tsdb.path={tmp / 'tsdb'}",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=(tmp / "prometheus.log").open("w"))
    started.append(server)
    wait_for("prometheus", server, lambda: fetch(f"{prometheus}/-/ready"))
    wait_for("the load", edge, lambda: load.runs > 0)
    wait_for("the scrape", server, lambda: values('up{job="edge"}') == [1])
    wait_for("the rules", server, lambda: "QUICLoss" in fetch(f"{prometheus}/api/v1/rules"))

    # Each has a value at some time. On a slow machine a round of the load takes longer than the rates look back,
    # so not all have one at the same time.
    lacking, end = list(expressions()), time.monotonic() + PATIENCE
    while lacking := empty(lacking):
        if time.monotonic() > end:
            sys.exit("FAILED: no values:\n" + "\n".join(f"{where}: {expr}" for where, expr in lacking))
        time.sleep(1)
    if load.failure:
        sys.exit(f"FAILED: a client: {load.failure}")

    page = fetch(f"http://127.0.0.1:{admin}/metrics")
    promtool("check", "metrics", input=page)
    n = len(list(expressions()))
    print(f"PASS: {n} expressions have values, {len(page.splitlines())} lines of metrics, {load.runs} rounds of load")
finally:
    if load:
        load.stop.set()
        load.join(PATIENCE)
    for process in started:
        process.terminate()
        process.wait(PATIENCE)
