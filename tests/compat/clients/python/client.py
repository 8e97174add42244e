"""Calls functions as Python programs called the server of 2017, and prints what they understand of each answer.

Usage: client.py HOST PORT PACKAGE CALL...
"""

import json
import sys

import requests


def main():
    host, port, package = sys.argv[1:4]
    endpoint = "http://{}:{}/api/v1/function".format(host, port)
    bodies = [json.dumps({"url": package, "call": call}) for call in sys.argv[4:]]
    for body in bodies:
        answer = requests.post(endpoint, body)
        assert "content-type" not in map(str.lower, answer.request.headers)
        data = json.loads(answer.text)["data"] if answer.status_code == 200 else None
        print(json.dumps(data))
    # Programs that ask often keep the connection.
    with requests.Session() as session:
        for body in bodies:
            session.post(endpoint, body)
        pools = session.get_adapter(endpoint).poolmanager.pools
        print(sum(pools[key].num_connections for key in pools.keys()))


if __name__ == "__main__":
    main()
