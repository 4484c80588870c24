#!/usr/bin/env node
/** Holds podfs against its targets, its yardsticks and its peers: see bench/README.md. */
import { families } from "./rows/index.mjs";
import { runSuite } from "./support/run-families.mjs";

await runSuite({ kind: "rows", families });
