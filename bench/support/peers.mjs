/** podfs and its peers as contestants of one kind, over the same bucket. */
import { peers } from "../peers/index.mjs";
import { OURS } from "./row.mjs";

/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {() => Promise<string>} version
 * @property {true | string} available   or why it is not
 * @property {string} notes
 * @property {(place: Place) => Promise<Mounted>} mount
 *
 * @typedef {object} Place
 * @property {string} id         what belongs to one volume: mounted again, it is the same
 * @property {string} cache      name of the cache; one not used before makes the mount cold
 * @property {string} [endpoint] of the store
 *
 * @typedef {object} Mounted
 * @property {string} directory
 * @property {() => Promise<void>} flush
 * @property {() => Promise<void>} unmount
 */

/** All there are, podfs first. @returns {Contestant[]} */
export function contestants(workspace, store) {
  const ours = {
    name: OURS,
    version: async () => (await workspace.podfs("version")).trim(),
    available: true,
    notes: "",
    mount: async ({ id, cache, endpoint }) => {
      const name = `${OURS}-${id}`;
      const cacheDirectory = await workspace.path(`cache-${name}-${cache}`);
      return await workspace.mount(store.volumeUrl(name, endpoint), name, "--create", "--cache-dir", cacheDirectory);
    },
  };
  return [ours, ...peers.map((peer) => contestant(peer, workspace, store))];
}

/** One of them by name, mounted on a volume of its own; `skipped` says why it cannot be. */
export async function mountPeer(workspace, name, store) {
  const peer = contestants(workspace, store).find((one) => one.name === name);
  if (peer.available !== true) return { skipped: peer.available };
  return await peer.mount({ id: "only", cache: "only" });
}

function contestant(peer, workspace, store) {
  return {
    name: peer.name,
    version: () => peer.version(),
    available: peer.available(),
    notes: peer.notes,
    mount: async ({ id, cache, endpoint = store.endpoint }) => {
      const name = `${peer.name}-${id}`;
      const { region, bucket, credentials } = store;
      const mounted = await peer.mount({
        ...{ endpoint, region, bucket, prefix: name, credentials },
        directory: await workspace.path(name),
        cacheDirectory: await workspace.path(`cache-${name}-${cache}`),
      });
      const unmount = async () => {
        workspace.forget(mounted);
        await mounted.unmount();
      };
      workspace.onDispose(mounted, () => mounted.unmount());
      return { directory: mounted.mountpoint, flush: () => mounted.flush(), unmount };
    },
  };
}
