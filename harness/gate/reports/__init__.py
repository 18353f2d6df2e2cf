"""From a run to what it leaves behind: gate.json, summary, terminal table, Allure report."""
