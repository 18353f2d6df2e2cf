"""From a reply to solved or not: answers, the sandbox, results of other tools."""
