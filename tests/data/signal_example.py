"""A training-signal agent in a few lines: flags replies that say "instead" or "rather". See docs/agents.md."""

import json
import sys

WORDS = ("instead", "rather")

for line in sys.stdin:
    request = json.loads(line)
    reply = request["reply"]
    found = next((word for word in WORDS if word in reply), None)
    answer = {"id": request["id"], "flagged": found is not None, "pattern": None, "span": found, "confidence": 0.9 if found else 0.2}
    print(json.dumps(answer))
