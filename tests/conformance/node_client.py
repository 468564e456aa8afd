"""The official JavaScript client against the gateway: starts the gateway and what stands around it, then node_client.mjs.

usage: node_client.py GATEWAY NODE CLIENT_DIR

Exits with 1 when NODE or CLIENT_DIR is not there, when a flow fails, or when an answer was not as OpenAI's.
"""

import os
import subprocess
import sys

import harness

GATEWAY, NODE, CLIENT_DIR = sys.argv[1:]
for needed in (NODE, CLIENT_DIR):
    if not os.path.exists(needed):
        sys.exit(f"{needed} is not there; ./dev setup installs it")
server = harness.Running(GATEWAY)
try:
    code = subprocess.run(
        [NODE, harness.HERE / "node_client.mjs", CLIENT_DIR], timeout=240,
        env={**os.environ, "CARREL_URL": f"http://{server.address}", "CARREL_KEY": server.key}).returncode
finally:
    server.stop()
sys.exit(code)
