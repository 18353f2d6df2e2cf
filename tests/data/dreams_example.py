"""A dream loop in a few lines: asks for something that the last seed names. See docs/agents.md."""

import json
import sys

for line in sys.stdin:
    request = json.loads(line)
    about = request["seeds"][-1]["text"] if request["seeds"] else "the usual work"
    print(json.dumps({"id": request["id"], "text": f"It came up again: {about} Would you see to it tonight?"}))
