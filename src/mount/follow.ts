import type { Clock, Timer } from "../base/index.js";
import type { MountedTransport } from "../fuse/index.js";
import type { FollowerVolume } from "../meta/index.js";

/** How soon a reader sees what the writer published. */
const INTERVAL_MS = 5_000;

/** Takes over what the writer publishes, and tells the kernel. Returns what ends it. */
export function follow(
  volume: FollowerVolume,
  mounted: MountedTransport,
  tools: { readonly clock: Clock; readonly onError: (error: unknown) => void },
): () => Promise<void> {
  let timer: Timer | undefined;
  let looking = Promise.resolve();
  let ended = false;
  const look = async (): Promise<void> => {
    try {
      const { inodes, names } = await volume.refresh();
      if (ended) return;
      for (const ino of inodes) mounted.invalidateInode(ino);
      for (const [parent, changed] of names) for (const name of changed) mounted.invalidateEntry(parent, name);
    } catch (error) {
      tools.onError(error);
    }
    schedule();
  };
  const schedule = (): void => {
    if (ended) return;
    timer = tools.clock.setTimer(INTERVAL_MS, () => {
      looking = look();
    });
  };
  schedule();
  return async () => {
    ended = true;
    timer?.cancel();
    await looking;
  };
}
