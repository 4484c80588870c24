import { hostname } from "node:os";
import { mountStatePaths } from "../config/index.js";
import { type ControlCallOptions, requestControl } from "./control-client.js";
import { ControlError } from "./control-error.js";
import type { ControlCommand, ControlRequests, ControlResults } from "./control-protocol.js";
import { mountAt, readMountTable } from "./mount-table.js";
import { mountpointState } from "./mountpoint.js";

export interface MountCallOptions extends ControlCallOptions {
  readonly stateDir: string;
}

/**
 * Asks the mount on `mountpoint`; when it cannot be asked, finds out what is there instead and says so.
 * @param mountpoint as {@link resolveMountpoint} gives it.
 * @throws ControlError
 */
export async function callMount<Command extends ControlCommand>(
  mountpoint: string,
  request: ControlRequests[Command] & { readonly command: Command },
  options: MountCallOptions,
): Promise<ControlResults[Command]> {
  const { controlSocket } = mountStatePaths(options.stateDir, mountpoint, hostname());
  try {
    return await requestControl<Command>(controlSocket, request, options);
  } catch (error) {
    if (error instanceof ControlError) throw await explain(error, mountpoint);
    throw error;
  }
}

async function explain(error: ControlError, mountpoint: string): Promise<ControlError> {
  const explained = (message: string): ControlError => new ControlError(error.kind, message, { cause: error });
  switch (error.kind) {
    case "not-running":
      return explained(await describeSilence(mountpoint));
    case "no-answer":
      return explained(`${mountpoint}: ${error.message}; podfs umount --force ${mountpoint} ends it without its help`);
    case "access-denied":
      return explained(`${mountpoint} is mounted by another user; ask as that user, or as root`);
    case "broken":
    case "failed":
    case "unknown-command":
      return explained(`${mountpoint}: ${error.message}`);
    case "busy":
      return error;
  }
}

async function describeSilence(mountpoint: string): Promise<string> {
  switch (await mountpointState(mountpoint)) {
    case "dead":
      return (
        `the podfs that served ${mountpoint} is dead; what it had not uploaded is safe in its cache directory: ` +
        `mount it again, or clean up with podfs umount ${mountpoint}`
      );
    case "hung":
    case "live":
      return (
        `${mountpoint} is a podfs mount of another user, or was mounted with another PODFS_STATE_DIR or in another ` +
        "container: ask from there"
      );
    case "free": {
      const other = mountAt(await readMountTable(), mountpoint);
      return `${mountpoint} is not a podfs mount${other === undefined ? "" : ` (it is ${other.type})`}; podfs status lists those there are`;
    }
  }
}
