#!/usr/bin/env node
/** How podfs grows: with files, with their size, with threads. See bench/README.md. */
import { family as files } from "./curves/files.mjs";
import { family as sizes } from "./curves/sizes.mjs";
import { family as threads } from "./curves/threads.mjs";
import { runSuite } from "./support/run-families.mjs";

await runSuite({ kind: "curves", families: [threads, sizes, files] });
