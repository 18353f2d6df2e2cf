// How the report looks. Copied beside run.json, which holds what differs from run to run: trends and the names of metrics.
import { readFileSync } from "node:fs";

const run = JSON.parse(readFileSync(new URL("./run.json", import.meta.url), "utf-8"));

export default {
  name: "Behavioral evals",
  historyPath: run.historyPath,
  appendHistory: false,
  performance: run.performance,
  categories: [
    { name: "Regression or unmet expectation", matchers: { statuses: ["failed"] } },
    { name: "Inconclusive", matchers: { statuses: ["broken"], message: /INCONCLUSIVE/ } },
    { name: "The instrument broke", matchers: { statuses: ["broken"] } },
    { name: "Not applicable", matchers: { statuses: ["skipped"] } },
  ],
  plugins: {
    awesome: { options: { singleFile: true, reportName: "Behavioral evals", groupBy: ["epic"] } },
  },
};
