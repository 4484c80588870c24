import { head, reading } from "./readings.js";
import type { Site, Step } from "./site.js";

const NAME = "synced";
const BLOCK_BYTES = 4096;
const FSYNC = head("latency", "append-fsync-4k", "append 4 KiB, fsync", "operations/s");

/** What a database's log or a careful editor does: a little more, made durable. */
export function syncedWrites(site: Site): readonly Step[] {
  return [
    {
      title: FSYNC.title,
      run: async () => [
        reading(FSYNC, await site.run({ loop: "append-sync", path: site.path(NAME), blockSize: BLOCK_BYTES })),
      ],
    },
    { title: "removing it", run: () => site.remove(NAME).then(() => []) },
  ];
}
