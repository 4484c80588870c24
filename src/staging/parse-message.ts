import { FormatError, JsonObject } from "../format/index.js";
import { StagingError } from "./errors.js";
import type { ClientMessage, IpcPiece } from "./protocol.js";

const BYTE_MAX = 0xff;

/**
 * What a client has sent, with the types it must have; undefined for a message of another version, which means nothing here.
 * What its numbers refer to is not checked.
 * @param value of a JSON line: anything at all
 * @throws StagingError protocol
 */
export function parseMessage(value: unknown): ClientMessage | undefined {
  try {
    const message = JsonObject.of("a message", value);
    return messageOf(message.string("type"), message);
  } catch (error) {
    if (error instanceof FormatError) throw new StagingError("protocol", error.message, { cause: error });
    throw error;
  }
}

function messageOf(type: string, message: JsonObject): ClientMessage | undefined {
  switch (type) {
    case "hello":
      return {
        type,
        version: message.integer("version"),
        pid: message.integer("pid"),
        client: message.string("client"),
        mode: message.string("mode") === "ipc" ? "ipc" : "shm",
        slots: message.integer("slots"),
        slotBytes: message.integer("slotBytes"),
        ...(message.members.numaNode !== undefined && { numaNode: message.integer("numaNode") }),
        pidNamespace: message.integer("pidNamespace"),
        reason: message.string("reason"),
      };
    case "begin":
      return {
        type,
        save: message.integer("save"),
        parent: message.integer("parent"),
        name: bytesOf(message.string("name")),
        sizeBytes: message.integer("sizeBytes"),
        replace: message.boolean("replace"),
        mode: message.integer("mode"),
      };
    case "write":
      return { type, ...writeOf(message) };
    case "fill":
      return { type, ...writeOf(message), pieces: message.objects("pieces").map(pieceOf) };
    case "commit":
      return {
        type,
        save: message.integer("save"),
        retire: message.strings("retire").map(bytesOf),
        ...(message.members.after !== undefined && { after: message.strings("after").map(bytesOf) }),
      };
    case "durable":
    case "cancel":
      return { type, save: message.integer("save") };
    default:
      return undefined;
  }
}

/** A name as the filesystem has it: a larger character would become another one's byte, "/" perhaps. */
function bytesOf(name: string): string {
  for (let at = 0; at < name.length; at++) {
    const character = name.charCodeAt(at);
    if (character === 0 || character > BYTE_MAX) {
      throw new StagingError("protocol", `the name ${JSON.stringify(name)} is not one of bytes, a character each`);
    }
  }
  return name;
}

function writeOf(message: JsonObject): { save: number; slot: number; offset: number; length: number } {
  return {
    save: message.integer("save"),
    slot: message.integer("slot"),
    offset: message.integer("offset"),
    length: message.integer("length"),
  };
}

function pieceOf(piece: JsonObject): IpcPiece {
  return {
    device: piece.string("device"),
    handle: piece.string("handle"),
    handleOffset: piece.integer("handleOffset"),
    bytes: piece.integer("bytes"),
    slotOffset: piece.integer("slotOffset"),
  };
}
