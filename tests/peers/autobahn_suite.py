"""Autobahn's wstest on loopback alone, and what came of it. For Python 2.7, which is what the suite is written in.

SITE is the directory that the suite is installed in.

    autobahn_suite.py SITE server OUTDIR CASE...        waits for a client; prints its port, and how many cases there are
    autobahn_suite.py SITE client URL OUTDIR CASE...    tests the server there
    autobahn_suite.py SITE summary OUTDIR COUNT         the verdicts; fails if they are not COUNT, or not good enough
"""
from __future__ import print_function

import collections
import json
import os
import site
import socket
import sys
import tempfile

# Allowed by RFC 6455, which the suite says of each case: done, done in another order or way, and nothing to be done.
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
GOOD_CLOSE = ("OK", "INFORMATIONAL")


def wstest(mode, spec):
    from autobahntestsuite.wstest import run
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        json.dump(spec, file)
        file.flush()
        sys.argv = ["wstest", "-m", mode, "-s", file.name, "-u", "0"]
        return run()


def server(outdir, *cases):
    """The suite binds a port of all interfaces that it has to be told; here it gets a socket that is bound already."""
    import autobahntestsuite.wstest  # Chooses the reactor.
    from twisted.internet import reactor
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(50)
    bound.setblocking(False)
    port = bound.getsockname()[1]
    reactor.listenTCP = lambda _port, factory, *_, **__: reactor.adoptStreamPort(bound.fileno(), socket.AF_INET, factory)
    factory = autobahntestsuite.fuzzing.FuzzingServerFactory
    begin = factory.__init__

    def tell(self, *arguments, **named):
        begin(self, *arguments, **named)
        with open(os.path.join(outdir, "waits"), "w") as file:
            file.write("%s %s\n" % (port, len(self.specCases)))
    factory.__init__ = tell
    return wstest("fuzzingserver", {"outdir": outdir, "url": "ws://127.0.0.1:%s" % port, "cases": cases})


def client(url, outdir, *cases):
    servers = [{"agent": "millstream", "url": url}]
    return wstest("fuzzingclient", {"outdir": outdir, "servers": servers, "cases": cases})


def summary(outdir, count):
    def load(name):
        with open(os.path.join(outdir, name)) as file:
            return json.load(file)
    if not os.path.exists(os.path.join(outdir, "index.json")):
        print("no report of %s cases" % count)
        return 1
    agents = load("index.json")
    cases = {case: verdict for agent in agents.values() for case, verdict in agent.items()}
    counts = collections.Counter(verdict["behavior"] for verdict in cases.values())
    print(", ".join("%s %s" % (counts[behavior], behavior) for behavior in sorted(counts)), "of", count)
    failed = int(count) - len(cases)
    if failed:
        print("%s cases have no verdict" % failed)
    for case in sorted(cases, key=lambda case: [int(part) for part in case.split(".")]):
        verdict = cases[case]
        behavior, close = verdict["behavior"], verdict["behaviorClose"]
        if behavior == "OK" and close in GOOD_CLOSE:
            continue
        report = load(verdict["reportfile"])
        bad = behavior not in GOOD or close not in GOOD_CLOSE
        failed += bad
        print("    %-8s %s, close %s%s" % (case, behavior, close, ": FAILED" if bad else ""))
        print("             %s %s" % (report["result"], report["resultClose"] if close != "OK" else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    # Of a directory in the path alone the suite's namespace packages would not be found.
    site.addsitedir(sys.argv[1])
    sys.path.insert(0, sys.argv[1])
    sys.exit({"server": server, "client": client, "summary": summary}[sys.argv[2]](*sys.argv[3:]))
