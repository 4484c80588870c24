import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createObjectStore, type DirectoryBackendConfig, type ObjectStore } from "../../../src/backend/index.js";
import { type TransferOptions, WorkerTransfer } from "../../../src/transfer/index.js";

/** A real pool over a real directory backend, in a directory of its own. */
export interface TransferUnderTest {
  readonly directory: string;
  readonly transfer: WorkerTransfer;
  readonly store: ObjectStore;
  readonly backend: DirectoryBackendConfig;
  stop(): Promise<void>;
}

export async function startTransfer(options: Partial<TransferOptions> = {}): Promise<TransferUnderTest> {
  const directory = await mkdtemp(join(tmpdir(), "podfs-transfer-"));
  const backend: DirectoryBackendConfig = { kind: "directory", path: await mkdtemp(join(directory, "backend-")) };
  const transfer = new WorkerTransfer({ backend, threads: 2, ...workerOption(), ...options });
  const stop = async (): Promise<void> => {
    await transfer.close();
    await rm(directory, { recursive: true, force: true });
  };
  return { directory, transfer, store: await createObjectStore(backend), backend, stop };
}

/** Worker threads need compiled code: that in `dist/`, or, while several people share a checkout, a build elsewhere. */
export function workerOption(): Pick<TransferOptions, "workerFile"> {
  const workerFile = process.env.PODFS_TEST_WORKER_FILE;
  return workerFile === undefined ? {} : { workerFile };
}
