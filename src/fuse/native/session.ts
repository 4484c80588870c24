import { type Ino, InvariantError, ignore } from "../../base/index.js";
import type { FileSystem } from "../../fs/index.js";
import {
  type Addon,
  type FuseSession,
  type FuseSessionEvents,
  type NegotiatedSession,
  REPLY_LATER,
  REPLY_NONE,
} from "../../native/index.js";
import { Errno } from "../errno.js";
import { FailureReport } from "../failure-report.js";
import type { TransportOptions } from "../transport.js";
import { handlerOf } from "./dispatch.js";
import type { HandlerContext } from "./handler.js";
import { KnownAttributes } from "./known-attributes.js";
import { KnownDirectories } from "./known-directories.js";
import { countersByName, Opcode, operationName } from "./opcodes.js";
import { OpenModes } from "./open-modes.js";
import type { Later } from "./outcome.js";
import { Reply } from "./reply.js";
import { Request } from "./request.js";
import { InterruptIn } from "./structs.js";
import { WaitingRequests } from "./waiting-requests.js";

const MAX_WRITE_BYTES = 1 << 20;
/** A WRITE on a handle nobody has still comes here, whole. */
const REQUEST_BUFFER_BYTES = MAX_WRITE_BYTES + 8192;
/** The largest body JavaScript answers with: an attribute's value (64 KiB), or what a directory reader takes at once. */
const REPLY_BUFFER_BYTES = 256 << 10;
const DATA_THREADS = 4;
const SPIN_MICROS = 50;
/** For what the kernel asks for on nobody's behalf. */
const KERNEL = { uid: 0, gid: 0, pid: 0 };

export interface SessionOptions extends TransportOptions {
  /** Open, mounted `/dev/fuse`; the session owns it from here on. */
  readonly fd: number;
  onReady(negotiated: NegotiatedSession): void;
}

/**
 * One mounted `/dev/fuse`: turns each request into a call of its handler, and what comes of that, now or later, into
 * exactly one reply.
 *
 * Invariant: a request is in #waiting, or it has been answered, or its handler is running.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #fileSystem: FileSystem;
  readonly #native: FuseSession;
  readonly #request: Request;
  readonly #reply: Reply;
  readonly #openModes: OpenModes;
  readonly #context: HandlerContext;
  readonly #waiting: WaitingRequests;
  readonly #failures: FailureReport;
  #over = false;

  constructor(addon: Addon, fileSystem: FileSystem, options: SessionOptions) {
    this.#options = options;
    this.#fileSystem = fileSystem;
    const request = new Uint8Array(REQUEST_BUFFER_BYTES);
    const reply = new Uint8Array(REPLY_BUFFER_BYTES);
    this.#request = new Request(request);
    this.#reply = new Reply(reply, options.validity);
    this.#waiting = new WaitingRequests({ clock: options.clock });
    this.#failures = new FailureReport(options);
    const { fd, passthrough, maxStackDepth, readOnly } = options;
    const fixed = { dataThreads: DATA_THREADS, spinMicros: SPIN_MICROS, maxWriteBytes: MAX_WRITE_BYTES };
    const attributes = watchedAttributes(fileSystem);
    this.#native = addon.createFuseSession(
      { fd, request, reply, passthrough, maxStackDepth, readOnly, ...attributes, ...fixed },
      this.#events(),
    );
    this.#openModes = new OpenModes({
      session: this.#native,
      onPassthroughLost: (reason) => options.onPassthroughLost(reason),
    });
    this.#context = {
      request: this.#request,
      reply: this.#reply,
      fileSystem,
      openModes: this.#openModes,
      // Where others write, no directory is known for long.
      knownDirectories: readOnly ? { missed: ignore } : new KnownDirectories(fileSystem, this.#native),
      flushOnClose: options.flushOnClose,
      syncAll: () => options.syncAll(),
    };
  }

  start(): void {
    this.#native.start();
  }

  /** The engine's own operations, for what is not a request. */
  get native(): FuseSession {
    return this.#native;
  }

  counters(): Record<string, number> {
    return countersByName(this.#native.counters());
  }

  #events(): FuseSessionEvents {
    return {
      onReady: (negotiated) => this.#options.onReady(negotiated),
      onRequest: (length) => this.#onRequest(length),
      onKillPrivileges: (ino) => this.#killPrivileges(ino as Ino),
      onEnd: (error) => this.#end(error),
    };
  }

  /** The engine's question: what is the answer to the request in the buffer? Never throws. */
  #onRequest(length: number): number {
    const request = this.#request;
    request.load(length);
    const { opcode } = request;
    if (opcode === Opcode.interrupt) {
      this.#waiting.signalled(request.u64(InterruptIn.unique));
      return REPLY_NONE;
    }
    try {
      const outcome = handlerOf(opcode)(this.#context);
      return typeof outcome === "number" ? outcome : this.#answerLater(outcome);
    } catch (error) {
      const errno = this.#failures.errno(error, operationName(opcode), request.ino);
      // What has no reply must not get one: the kernel would take it for another request's.
      return opcode === Opcode.forget || opcode === Opcode.batchForget ? REPLY_NONE : -errno;
    }
  }

  #answerLater({ result, interruptible }: Later): number {
    const { unique, opcode, ino, pid } = this.#request;
    let waits = true;
    if (interruptible) {
      this.#waiting.add(unique, pid, () => {
        waits = false;
        this.#native.reply(unique, -Errno.EINTR);
      });
    }
    result
      .then((late) => {
        this.#waiting.remove(unique);
        // After the end nobody would ever release what it opens.
        if (!waits || this.#over) return late.discard();
        const length = late.encode();
        if (length < 0) this.#native.reply(unique, length);
        else this.#native.reply(unique, 0, this.#reply.bytes.subarray(0, length));
      })
      .catch((error: unknown) => {
        this.#waiting.remove(unique);
        const errno = this.#failures.errno(error, operationName(opcode), ino);
        if (waits) this.#native.reply(unique, -errno);
      });
    return REPLY_LATER;
  }

  /** A write through the engine by somebody who may not keep set-id bits: they go, as if he had asked for it. */
  #killPrivileges(ino: Ino): void {
    const failed = (error: unknown) => this.#failures.errno(error, "write", ino);
    try {
      const changed = this.#fileSystem.setAttributes(KERNEL, ino, { killPrivileges: true });
      if (changed instanceof Promise) changed.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  /** No RELEASE will come for what is open: it is closed here, so that its content counts as complete. */
  #end(error: string): void {
    this.#over = true;
    this.#waiting.clear();
    try {
      for (const handle of this.#openModes.handles()) {
        this.#openModes.leave(handle);
        this.#fileSystem.release(handle);
      }
    } catch (failure) {
      this.#failures.errno(new InvariantError("an open file cannot be released", failure), "release", 0);
    }
    this.#options.onEnd(error);
  }
}

/** The table of what the engine may repeat, where somebody says when it must not any more. */
function watchedAttributes(fileSystem: FileSystem): { readonly attributes?: Uint8Array } {
  if (fileSystem.watchAttributes === undefined) return {};
  const known = new KnownAttributes();
  fileSystem.watchAttributes(known);
  return { attributes: known.table };
}
