import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { mountObstacle, PodfsMachine, shell, waitUntil } from "../support/podfs.js";
import { type S3Request, type S3TestServer, startS3Server } from "../support/s3-server.js";
import { manifestDifferences, treeManifest } from "../support/tree-manifest.js";

const obstacle = mountObstacle();

/** A first state, published; then a second one, which replaces, appends, moves, removes and adds. */
const FIRST = `
mkdir -p models tmp
for i in $(seq 40); do head -c $((i * 100)) /dev/urandom > models/small-$i; done
head -c 3000000 /dev/urandom > models/checkpoint && echo one > log && echo doomed > doomed
`;
const SECOND = `
head -c 5000001 /dev/urandom > models/checkpoint.tmp && mv models/checkpoint.tmp models/checkpoint
echo two >> log && rm doomed && mkdir new && mv models/small-7 new/moved
ln models/small-8 new/link && head -c 900000 /dev/urandom > new/file && ln -s file new/symlink
`;

interface Step {
  readonly step: string;
  readonly method: string;
  readonly path: RegExp;
  readonly nth?: number;
  /** Requests count only after one like this. */
  readonly after?: RegExp;
}

/** Where the daemon stands when it is killed: at its nth request like this, which is never answered. */
const STEPS: readonly Step[] = [
  { step: "the first pack is put", method: "PUT", path: /\/pack\// },
  { step: "the last pack is put", method: "PUT", path: /\/pack\//, nth: 2 },
  { step: "the segment is put", method: "PUT", path: /\/meta\/log\// },
  { step: "the lease is checked", method: "GET", path: /\/meta\/lease$/, after: /\/meta\/log\// },
];

/** What regular files hold, whatever their names. */
function contentsOf(...trees: readonly Map<string, string>[]): Set<string> {
  const facts = trees.flatMap((tree) => [...tree.values()]);
  return new Set(facts.flatMap((fact) => /\d+ bytes [0-9a-f]{40}/.exec(fact)?.[0] ?? []));
}

describe.skipIf(obstacle !== undefined)(`kill -9 while publishing (${obstacle ?? "real mounts"})`, () => {
  let server: S3TestServer;
  const machines: PodfsMachine[] = [];
  beforeAll(async () => {
    server = await startS3Server({ own: true });
  });
  afterAll(() => server.close());
  afterEach(async () => {
    server.trouble = undefined;
    for (const machine of machines.splice(0)) await machine.dispose();
  });

  async function machine(): Promise<PodfsMachine> {
    const created = await PodfsMachine.create(server.environment);
    machines.push(created);
    return created;
  }

  /** Lets the nth request like this hang, for ever; later ones too. */
  function hangAt({ method, path, nth = 1, after }: Step): () => boolean {
    let seen = 0;
    let counts = after === undefined;
    server.trouble = (request: S3Request) => {
      counts ||= after?.test(request.path) ?? false;
      if (!counts || request.method !== method || !path.test(request.path)) return undefined;
      return ++seen >= nth ? "hang" : undefined;
    };
    return () => seen >= nth;
  }

  it.each(STEPS)("before $step: loses nothing, and others see nothing half", async (step) => {
    const [here, elsewhere] = [await machine(), await machine()];
    const volume = await server.createVolumeUrl();
    const workspace = await here.path("workspace");
    const other = await elsewhere.path("other");
    await here.mount(volume, workspace, "--create");
    await shell(workspace, FIRST);
    await here.flush(workspace);
    const first = await treeManifest(workspace);
    const reached = hangAt(step);
    await shell(workspace, SECOND);
    const second = await treeManifest(workspace);
    const flushing = here.run("flush", workspace).catch(() => undefined);
    await waitUntil(reached, step.step);
    await here.kill(workspace);
    await flushing;
    server.trouble = undefined;
    await elsewhere.mount(volume, other, "--read-only");
    const published = await treeManifest(other);
    await elsewhere.unmount(other);
    // Names may be those before or after; what they lead to is whole.
    expect(published.has("models/checkpoint")).toBe(true);
    expect([...contentsOf(published)].filter((content) => !contentsOf(first, second).has(content))).toEqual([]);
    await here.mount(volume, workspace);
    expect(manifestDifferences(second, await treeManifest(workspace))).toEqual([]);
    await here.flush(workspace);
    await here.unmount(workspace);
    await elsewhere.mount(volume, other, "--read-only");
    expect(manifestDifferences(second, await treeManifest(other))).toEqual([]);
    await elsewhere.unmount(other);
  });

  it("reports what is left when the drain's deadline passes, and sends it at the next mount", async () => {
    const [here, elsewhere] = [await machine(), await machine()];
    const volume = await server.createVolumeUrl();
    const workspace = await here.path("workspace");
    await here.mount(volume, workspace, "--create");
    await here.flush(workspace);
    server.trouble = ({ method, path }) => (method === "PUT" && !path.endsWith("/meta/lease") ? "hang" : undefined);
    await shell(workspace, FIRST);
    const expected = await treeManifest(workspace);
    const outcome = await here.run("umount", "--json", "--timeout", "2s", workspace);
    expect(outcome.code).toBe(1);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ pendingFiles: 43 });
    expect((JSON.parse(outcome.stdout) as { pendingBytes: number }).pendingBytes).toBeGreaterThan(3_000_000);
    server.trouble = undefined;
    await here.mount(volume, workspace);
    expect(manifestDifferences(expected, await treeManifest(workspace))).toEqual([]);
    await here.flush(workspace);
    await here.unmount(workspace);
    const other = await elsewhere.path("other");
    await elsewhere.mount(volume, other);
    expect(manifestDifferences(expected, await treeManifest(other))).toEqual([]);
    await elsewhere.unmount(other);
  });
});
