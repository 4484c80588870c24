import type { JobMessage, JobReply } from "./jobs.js";

/**
 * What the pool loads in its threads. CommonJS, because piscina tries `require` first, and Node 20 ends the whole process
 * ("IsGraphAsync must be used on an instantiated module") when a thread is terminated while it requires an ES module.
 */
const loading = import("./worker.js");

async function run(message: JobMessage): Promise<JobReply> {
  const worker = await loading;
  return worker.run(message);
}

export = run;
