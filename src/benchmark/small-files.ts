import type { LoopName, LoopResult } from "../native/index.js";
import type { LoopRequest } from "./native-loop.js";
import { head, reading, threadCounts } from "./readings.js";
import type { MeasurementHead, Site, Step } from "./site.js";

const FILE_BYTES = 4096;
const FILES_PER_DIRECTORY_MAX = 1000;

/** Files of 4 KiB, created, looked at, read and deleted: by one thread, then by several with directories of their own. */
export function smallFiles(site: Site): readonly Step[] {
  return threadCounts(site).flatMap((threads) => {
    const tree = new Tree(site, threads);
    const of = (id: string, title: string): MeasurementHead => head("small files", id, title, "operations/s", threads);
    return [
      { title: "create", run: () => tree.create(of("create-4k", "create, 4 KiB")) },
      tree.step(of("stat", "stat"), "stat", { repeat: true }),
      tree.step(of("read-4k", "read, 4 KiB"), "read-files", { repeat: true }),
      { title: "cold read", run: () => tree.readCold(of("read-4k-cold", "read, 4 KiB, cold")) },
      // Names are what create and delete are about, so one thread is enough for the rest of them.
      ...(threads === 1 ? metadata(tree) : []),
      tree.step(of("delete", "delete"), "remove"),
      { title: "removing small files", run: () => tree.remove() },
    ];
  });
}

function metadata(tree: Tree): readonly Step[] {
  const of = (id: string, title: string): MeasurementHead => head("metadata", id, title, "operations/s");
  return [
    { title: "list", run: () => tree.list(of("list", "list, per entry")) },
    tree.step(of("chmod", "chmod"), "chmod", { repeat: true }),
    tree.step(of("symlink", "symlink"), "symlink", { prefix: "s" }),
    tree.step(of("mkdir", "mkdir"), "mkdir", { prefix: "m" }),
    { title: "rmdir", run: () => tree.removeDirectories(of("rmdir", "rmdir")) },
    { title: "rename", run: () => tree.rename(of("rename", "rename")) },
  ];
}

/** The files of so many threads. */
class Tree {
  readonly #site: Site;
  readonly #threads: number;
  readonly #name: string;
  readonly #layout: { readonly files: number; readonly filesPerDirectory: number };
  // Files each thread has: less than planned if the time was up; 0 before there are any.
  #files = 0;
  #directories = 0;
  #prefix = "f";

  constructor(site: Site, threads: number) {
    this.#site = site;
    this.#threads = threads;
    this.#name = `tree-${threads}`;
    const own = Math.ceil(site.options.files / threads);
    this.#layout = { files: own * threads, filesPerDirectory: Math.min(own, FILES_PER_DIRECTORY_MAX) };
  }

  async create(of: MeasurementHead) {
    const { files, filesPerDirectory } = this.#layout;
    await this.#site.makeTree(this.#name, Math.ceil(files / filesPerDirectory));
    const result = await this.#run("create");
    this.#files = result.operationsMin;
    return [reading(of, result)];
  }

  step(of: MeasurementHead, loop: LoopName, request: Partial<LoopRequest> = {}): Step {
    const run = async () => (this.#files === 0 ? [] : [reading(of, await this.#run(loop, request))]);
    return { title: of.title, run };
  }

  async readCold(of: MeasurementHead) {
    const drop = this.#request("drop-files");
    const isCold = this.#files > 0 && (await this.#site.makeCold(drop, this.#files * this.#threads * FILE_BYTES));
    return isCold ? [reading(of, await this.#run("read-files"))] : [];
  }

  /** How long a listing takes depends on what it lists, so entries are counted. */
  async list(of: MeasurementHead) {
    if (this.#files === 0) return [];
    const { amount, seconds } = await this.#run("list", { repeat: true, operationsMax: 0 });
    return [{ of, value: amount / seconds }];
  }

  async rename(of: MeasurementHead) {
    if (this.#files === 0) return [];
    const result = await this.#run("rename");
    this.#files = result.operationsMin;
    this.#prefix = "r";
    return [reading(of, result)];
  }

  async removeDirectories(of: MeasurementHead) {
    if (this.#directories === 0) return [];
    return [reading(of, await this.#run("rmdir", { prefix: "m", operationsMax: this.#directories }))];
  }

  remove() {
    return this.#site.remove(this.#name).then(() => []);
  }

  async #run(loop: LoopName, request: Partial<LoopRequest> = {}): Promise<LoopResult> {
    const result = await this.#site.run({ ...this.#request(loop), ...request });
    if (loop === "mkdir") this.#directories = result.operationsMin;
    return result;
  }

  #request(loop: LoopName): LoopRequest {
    return {
      loop,
      path: this.#site.path(this.#name),
      threads: this.#threads,
      blockSize: FILE_BYTES,
      ...this.#layout,
      prefix: this.#prefix,
      operationsMax: this.#files,
    };
  }
}
