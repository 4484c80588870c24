/** What the model says instead of doing it. */
export class ModelError extends Error {
  constructor(readonly kind: string) {
    super(kind);
  }
}

export interface ModelNode {
  readonly type: "file" | "directory" | "symlink" | "fifo";
  mode: number;
  uid: number;
  gid: number;
  /** Names of it; a directory's links are counted from its entries. */
  names: number;
  bytes: Buffer;
  readonly target: string;
  readonly entries: Map<string, ModelNode>;
  readonly xattrs: Map<string, string>;
  /** Number of the step that last marked them: the filesystem's times must change in the same steps. */
  mtime: number;
  ctime: number;
  /** Made by O_TMPFILE and not named yet. */
  temporary: boolean;
}

export interface Place {
  readonly directory: ModelNode;
  readonly name: string;
}

const S_ISGID = 0o2000;

/**
 * POSIX as simply as it can be said: nodes that refer to nodes. It knows no inode numbers, records, handles or times, only
 * what each call does to whom.
 */
export class PosixModel {
  readonly root: ModelNode;
  step = 0;

  constructor(root: { readonly mode: number; readonly uid: number; readonly gid: number }) {
    this.root = { ...this.#node("directory", root.mode, ""), ...root, names: 1 };
  }

  make(place: Place, type: ModelNode["type"], mode: number, target: string): ModelNode {
    this.#requireFree(place);
    const node = this.#node(type, type === "symlink" ? 0o777 : mode, target);
    if ((place.directory.mode & S_ISGID) !== 0) {
      node.gid = place.directory.gid;
      if (type === "directory") node.mode |= S_ISGID;
    }
    this.#enter(place, node);
    return node;
  }

  makeTemporary(directory: ModelNode, mode: number): ModelNode {
    if (directory.names === 0) throw new ModelError("not-found");
    const node = this.#node("file", mode, "");
    if ((directory.mode & S_ISGID) !== 0) node.gid = directory.gid;
    node.temporary = true;
    return node;
  }

  link(node: ModelNode, place: Place): void {
    if (node.names === 0 && !node.temporary) throw new ModelError("not-found");
    this.#requireFree(place);
    if (node.type === "directory") throw new ModelError("not-permitted");
    node.temporary = false;
    node.ctime = this.step;
    this.#enter(place, node);
  }

  unlink(place: Place): void {
    const node = this.#existing(place);
    if (node.type === "directory") throw new ModelError("is-directory");
    this.#leave(place, node);
  }

  removeDirectory(place: Place): void {
    const node = this.#existing(place);
    if (node.type !== "directory") throw new ModelError("not-directory");
    if (node.entries.size > 0) throw new ModelError("not-empty");
    this.#leave(place, node);
  }

  rename(from: Place, to: Place, mode: "replace" | "no-replace" | "exchange"): void {
    if (from.directory.names === 0 || to.directory.names === 0) throw new ModelError("not-found");
    const source = this.#existing(from);
    const target = to.directory.entries.get(to.name);
    if (target !== undefined && mode === "no-replace") throw new ModelError("exists");
    if (mode === "exchange") {
      if (target === undefined) throw new ModelError("not-found");
      if (target === source) return;
      from.directory.entries.set(from.name, target);
      to.directory.entries.set(to.name, source);
      target.ctime = this.step;
    } else {
      if (target === source) return;
      if (target !== undefined) this.#replace(source, target, to);
      from.directory.entries.delete(from.name);
      to.directory.entries.set(to.name, source);
    }
    source.ctime = this.step;
    this.#mark(from.directory);
    this.#mark(to.directory);
  }

  setMode(node: ModelNode, mode: number): void {
    node.mode = mode;
    node.ctime = this.step;
  }

  setOwner(node: ModelNode, uid: number, gid: number): void {
    node.uid = uid;
    node.gid = gid;
    node.ctime = this.step;
  }

  /** utimens, truncate and write: whatever sets a new mtime. */
  mark(node: ModelNode): void {
    this.#mark(node);
  }

  write(node: ModelNode, text: string, position: number): void {
    const end = position + text.length;
    if (end > node.bytes.length) node.bytes = Buffer.concat([node.bytes, Buffer.alloc(end - node.bytes.length)]);
    node.bytes.write(text, position, "latin1");
    this.#mark(node);
  }

  truncate(node: ModelNode, size: number): void {
    if (node.type !== "file") throw new ModelError(node.type === "directory" ? "is-directory" : "invalid");
    node.bytes = Buffer.concat([node.bytes, Buffer.alloc(Math.max(size - node.bytes.length, 0))]).subarray(0, size);
    this.#mark(node);
  }

  setXattr(node: ModelNode, name: string, value: string): void {
    node.xattrs.set(name, value);
    node.ctime = this.step;
  }

  removeXattr(node: ModelNode, name: string): void {
    if (!node.xattrs.delete(name)) throw new ModelError("no-attribute");
    node.ctime = this.step;
  }

  links(node: ModelNode): number {
    if (node.type !== "directory" || node.names === 0) return node.names;
    return 2 + [...node.entries.values()].filter((entry) => entry.type === "directory").length;
  }

  contains(ancestor: ModelNode, node: ModelNode): boolean {
    return ancestor === node || [...ancestor.entries.values()].some((entry) => this.contains(entry, node));
  }

  /** Every node with a name, the root first, each once. */
  reachable(): Set<ModelNode> {
    const found = new Set<ModelNode>([this.root]);
    for (const node of found) for (const entry of node.entries.values()) found.add(entry);
    return found;
  }

  #replace(source: ModelNode, target: ModelNode, to: Place): void {
    if (target.type === "directory") {
      if (source.type !== "directory") throw new ModelError("is-directory");
      if (target.entries.size > 0) throw new ModelError("not-empty");
    } else if (source.type === "directory") throw new ModelError("not-directory");
    this.#leave(to, target);
  }

  #existing({ directory, name }: Place): ModelNode {
    const node = directory.entries.get(name);
    if (directory.names === 0 || node === undefined) throw new ModelError("not-found");
    return node;
  }

  #requireFree({ directory, name }: Place): void {
    if (directory.names === 0) throw new ModelError("not-found");
    if (directory.entries.has(name)) throw new ModelError("exists");
  }

  #enter({ directory, name }: Place, node: ModelNode): void {
    directory.entries.set(name, node);
    node.names += 1;
    this.#mark(directory);
  }

  #leave({ directory, name }: Place, node: ModelNode): void {
    directory.entries.delete(name);
    node.names -= 1;
    node.ctime = this.step;
    this.#mark(directory);
  }

  #mark(node: ModelNode): void {
    node.mtime = this.step;
    node.ctime = this.step;
  }

  #node(type: ModelNode["type"], mode: number, target: string): ModelNode {
    const { step } = this;
    const owner = { uid: 1000, gid: 1000 };
    const empty = { bytes: Buffer.alloc(0), entries: new Map(), xattrs: new Map() };
    return { type, mode, ...owner, names: 0, ...empty, target, mtime: step, ctime: step, temporary: false };
  }
}
