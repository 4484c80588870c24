import type { BackendConfig } from "./backend-config.js";
import { NO_CAPABILITIES, type ObjectStore } from "./object-store.js";

/**
 * Builds the bare store of a backend: no retries, no limits. Nothing is asked of the backend yet.
 *
 * Asynchronous because the AWS SDK takes a quarter of a second and 20 MB to load, in every thread: only who uses S3
 * pays for it.
 *
 * @param known what another store of the same bucket has found out about it; of a directory nothing need be known
 */
export async function createObjectStore(config: BackendConfig, known = NO_CAPABILITIES): Promise<ObjectStore> {
  switch (config.kind) {
    case "directory": {
      const { DirectoryStore } = await import("./directory/directory-store.js");
      return await DirectoryStore.open(config);
    }
    case "s3": {
      const { S3Store } = await import("./s3/s3-store.js");
      return new S3Store(config, known);
    }
  }
}
