import { constants, mkdtempSync, openSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Addon,
  type ContentFile,
  type ContentFileEvents,
  type FuseSession,
  type FuseSessionOptions,
  type NegotiatedSession,
  REPLY_LATER,
  REPLY_NONE,
} from "../../../src/native/index.js";
import { Opcode, writeAttr, writeEntry, writeOpen } from "./protocol.js";

const EIO = 5;
const ENOENT = 2;
const ENOSYS = 38;
const FATTR_SIZE = 1 << 3;
const FOPEN_PASSTHROUGH = 1 << 7;
const FOPEN_NOFLUSH = 1 << 5;

/** How files of the mini filesystem are open: bytes in the kernel, served natively, or answered by JavaScript. */
export type OpenMode = "passthrough" | "served" | "script";

export interface MiniFile {
  readonly ino: number;
  readonly content: ContentFile;
  mode: OpenMode;
  permissions: number;
}

/**
 * The smallest filesystem that exercises the addon: one flat directory of files, in JavaScript, over content files
 * that the test supplies. Attributes and names are never cached, so that every stat is a request.
 */
export class MiniFilesystem {
  readonly files = new Map<string, MiniFile>();
  readonly handles = new Map<number, { file: MiniFile; backingId: number }>();
  readonly interrupts: number[] = [];
  readonly killedPrivileges: number[] = [];
  readonly ended: Promise<string>;
  readonly ready: Promise<NegotiatedSession>;
  /** When set, LOOKUP of this name is answered later, by this function's promise. */
  slowName: { name: string; until: () => Promise<void> } | undefined;
  /** Of the requests that came to JavaScript, in order. */
  readonly opcodes: number[] = [];
  /** Says that a name is not there by an entry of inode 0, as podfs does. */
  absentEntries = false;
  lookups = 0;
  finished = false;

  private nextIno = 2;
  private nextHandle = 1;
  private readonly in: DataView;
  private readonly out: DataView;
  private readonly stat = new Float64Array(6);

  private constructor(
    readonly addon: Addon,
    readonly mountpoint: string,
    readonly session: FuseSession,
    private readonly request: Uint8Array,
    private readonly reply: Uint8Array,
    settle: { ready: Promise<NegotiatedSession>; ended: Promise<string> },
  ) {
    this.ready = settle.ready;
    this.ended = settle.ended;
    this.in = new DataView(request.buffer);
    this.out = new DataView(reply.buffer);
  }

  static async mount(
    addon: Addon,
    options: Partial<FuseSessionOptions> & { mountOptions?: string } = {},
  ): Promise<MiniFilesystem> {
    const mountpoint = mkdtempSync(join(tmpdir(), "podfs-native-"));
    const flags = options.mountOptions ?? "nosuid,nodev,default_permissions,allow_other,subtype=podfs-test";
    const fd = await addon.mountFuse(mountpoint, flags, "mini");
    let onReady: (negotiated: NegotiatedSession) => void = () => {};
    let onEnd: (error: string) => void = () => {};
    const ready = new Promise<NegotiatedSession>((resolve) => {
      onReady = resolve;
    });
    const ended = new Promise<string>((resolve) => {
      onEnd = resolve;
    });
    const self: { filesystem?: MiniFilesystem } = {};
    const request = new Uint8Array((1 << 20) + 4096);
    const reply = new Uint8Array((1 << 20) + 4096);
    const session = addon.createFuseSession(
      {
        fd,
        request,
        reply,
        passthrough: true,
        maxStackDepth: 1,
        dataThreads: 4,
        spinMicros: 50,
        maxWriteBytes: 1 << 20,
        readOnly: false,
        ...options,
      },
      {
        onReady: (negotiated) => onReady(negotiated),
        onEnd: (error) => onEnd(error),
        onRequest: (length) => self.filesystem?.onRequest(length) ?? -EIO,
        onKillPrivileges: (ino) => self.filesystem?.killedPrivileges.push(ino),
      },
    );
    const filesystem = new MiniFilesystem(addon, mountpoint, session, request, reply, { ready, ended });
    self.filesystem = filesystem;
    session.start();
    await ready;
    return filesystem;
  }

  /** Adds a file over the local file at `path`. */
  add(
    name: string,
    options: {
      path: string;
      mode: OpenMode;
      mapPath?: string;
      blockSize?: number;
      events?: Partial<ContentFileEvents>;
    },
  ): MiniFile {
    const content = this.addon.createContentFile(
      {
        fd: openSync(options.path, constants.O_RDWR | constants.O_CREAT, 0o600),
        blockSize: options.blockSize ?? 1 << 20,
        ...(options.mapPath === undefined ? {} : { mapPath: options.mapPath }),
      },
      { onMiss: () => {}, onTrigger: () => {}, ...options.events },
    );
    const file = { ino: this.nextIno++, content, mode: options.mode, permissions: 0o644 };
    this.files.set(name, file);
    return file;
  }

  path(name: string): string {
    return join(this.mountpoint, name);
  }

  async unmount(): Promise<string> {
    await this.addon.unmountFuse(this.mountpoint, false);
    return this.finish();
  }

  async finish(): Promise<string> {
    this.finished = true;
    const error = await this.ended;
    for (const { content } of this.files.values()) content.close();
    rmdirSync(this.mountpoint);
    return error;
  }

  private byIno(ino: number): MiniFile | undefined {
    for (const file of this.files.values()) if (file.ino === ino) return file;
    return undefined;
  }

  private name(offset: number, length: number): string {
    const end = this.request.indexOf(0, offset);
    return Buffer.from(this.request.subarray(offset, Math.min(end, length))).toString("latin1");
  }

  private attr(offset: number, ino: number): void {
    const file = this.byIno(ino);
    if (file) file.content.stat(this.stat);
    writeAttr(this.out, offset, {
      ino,
      mode: file ? 0o100000 | file.permissions : 0o40755,
      stat: file ? this.stat : undefined,
    });
  }

  private onRequest(length: number): number {
    const opcode = this.in.getUint32(4, true);
    this.opcodes.push(opcode);
    const unique = Number(this.in.getBigUint64(8, true));
    const ino = Number(this.in.getBigUint64(16, true));
    switch (opcode) {
      case Opcode.lookup: {
        this.lookups++;
        const name = this.name(40, length);
        if (this.slowName?.name === name) {
          void this.slowName.until().then(() => this.session.reply(unique, -ENOENT));
          return REPLY_LATER;
        }
        return this.entry(name);
      }
      case Opcode.forget:
      case Opcode.batchForget:
        return REPLY_NONE;
      case Opcode.interrupt:
        this.interrupts.push(Number(this.in.getBigUint64(40, true)));
        return REPLY_NONE;
      case Opcode.getattr:
        this.out.setBigUint64(0, 0n, true);
        this.out.setBigUint64(8, 0n, true);
        this.attr(16, ino);
        return 104;
      case Opcode.setattr:
        return this.setattr(unique, ino);
      case Opcode.open:
        return this.open(ino, 0);
      case Opcode.create: {
        const name = this.name(56, length);
        if (!this.files.has(name)) return -ENOENT;
        const entry = this.entry(name);
        return entry < 0 ? entry : entry + this.open(this.files.get(name)!.ino, entry);
      }
      case Opcode.opendir:
        return writeOpen(this.out, 0, { handle: 0, flags: 0, backingId: 0 });
      case Opcode.readdir:
      case Opcode.readdirplus:
        return 0;
      case Opcode.statfs:
        this.reply.fill(0, 0, 80);
        return 80;
      case Opcode.read:
      case Opcode.write:
        return this.scriptData(opcode, unique, length);
      case Opcode.release:
        return this.release(Number(this.in.getBigUint64(40, true)));
      case Opcode.flush:
      case Opcode.fsync:
      case Opcode.releasedir:
      case Opcode.access:
        return 0;
      default:
        return -ENOSYS;
    }
  }

  private entry(name: string): number {
    const file = this.files.get(name);
    if (!file && this.absentEntries) {
      this.reply.fill(0, 0, 128);
      return 128;
    }
    if (!file) return -ENOENT;
    writeEntry(this.out, file.ino);
    this.attr(40, file.ino);
    return 128;
  }

  private setattr(unique: number, ino: number): number {
    const file = this.byIno(ino);
    if (!file) return -ENOENT;
    const answer = (): void => {
      this.out.setBigUint64(0, 0n, true);
      this.out.setBigUint64(8, 0n, true);
      this.attr(16, ino);
    };
    if ((this.in.getUint32(40, true) & FATTR_SIZE) === 0) {
      answer();
      return 104;
    }
    void file.content.truncate(Number(this.in.getBigUint64(56, true))).then(() => {
      answer();
      this.session.reply(unique, 0, this.reply.subarray(0, 104));
    });
    return REPLY_LATER;
  }

  private open(ino: number, at: number): number {
    const file = this.byIno(ino);
    if (!file) return -ENOENT;
    const handle = this.nextHandle++;
    let flags = FOPEN_NOFLUSH;
    let backingId = 0;
    if (file.mode === "passthrough") {
      backingId = this.session.openBacking(file.content);
      if (backingId < 0) return backingId;
      flags |= FOPEN_PASSTHROUGH;
    } else if (file.mode === "served") {
      this.session.bind(handle, file.content);
    }
    this.handles.set(handle, { file, backingId });
    return writeOpen(this.out, at, { handle, flags, backingId });
  }

  private release(handle: number): number {
    const open = this.handles.get(handle);
    if (open && open.backingId > 0) this.session.closeBacking(open.backingId);
    if (open?.file.mode === "served") this.session.unbind(handle);
    this.handles.delete(handle);
    return 0;
  }

  private scriptData(opcode: number, unique: number, length: number): number {
    const open = this.handles.get(Number(this.in.getBigUint64(40, true)));
    if (!open) return -EIO;
    const offset = Number(this.in.getBigUint64(48, true));
    if (opcode === Opcode.read) {
      const into = new Uint8Array(this.in.getUint32(56, true));
      void open.file.content.read(into, offset).then((n) => this.session.reply(unique, 0, into.subarray(0, n)));
      return REPLY_LATER;
    }
    void open.file.content.write(this.request.slice(80, length), offset).then((n) => {
      const body = new Uint8Array(8);
      new DataView(body.buffer).setUint32(0, n, true);
      this.session.reply(unique, 0, body);
    });
    return REPLY_LATER;
  }
}
