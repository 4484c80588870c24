import { Connection, type ConnectionTimeouts, type Origin, type Received } from "./connection.js";

/** A request as the SDK has signed it. */
export interface SignedRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  /** Percent-encoded. */
  readonly path: string;
  /** Not encoded. */
  readonly query: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** Connections that stay open from one request to the next. How many there are is up to who asks. */
export class Connections {
  readonly #timeouts: ConnectionTimeouts;
  readonly #idle = new Map<string, Connection[]>();

  constructor(timeouts: ConnectionTimeouts) {
    this.#timeouts = timeouts;
  }

  /**
   * Performs a GET, whose body goes into the memory that is given.
   * @returns undefined when the answer cannot be received so (its length is unknown or too large): use another client
   */
  async get(request: SignedRequest, into: Uint8Array, signal?: AbortSignal): Promise<Received | undefined> {
    const head = requestHeadOf(request);
    const origin = originOf(request);
    if (head === undefined || origin === undefined) return undefined;
    const key = `${origin.protocol}//${origin.host}:${origin.port}`;
    for (;;) {
      const connection = this.#take(key) ?? new Connection(origin, this.#timeouts);
      try {
        const received = await connection.exchange(head, into, signal);
        if (connection.free) this.#give(key, connection);
        return received;
      } catch (error) {
        // A server may close a connection that waits at any time (RFC 9112, 9.3.1): that is no failure.
        if (!connection.wasStale) throw error;
      }
    }
  }

  close(): void {
    for (const connections of this.#idle.values()) for (const connection of connections) connection.destroy(undefined);
    this.#idle.clear();
  }

  /** The one that was used last: so those that are not needed grow old and end. */
  #take(key: string): Connection | undefined {
    const connections = this.#idle.get(key);
    for (;;) {
      const connection = connections?.pop();
      if (connection === undefined || connection.free) return connection;
    }
  }

  #give(key: string, connection: Connection): void {
    const open = (this.#idle.get(key) ?? []).filter(({ free }) => free);
    this.#idle.set(key, [...open, connection]);
  }
}

function originOf({ protocol, hostname, port }: SignedRequest): Origin | undefined {
  if (protocol !== "http:" && protocol !== "https:") return undefined;
  // An IPv6 address stands in brackets in a URL, and without them everywhere else.
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return { protocol, host, port: port ?? (protocol === "http:" ? 80 : 443) };
}

/** Undefined when it has what this cannot say. */
function requestHeadOf({ method, path, query, headers }: SignedRequest): string | undefined {
  const pairs = Object.entries(query).map(([name, value]) => {
    return typeof value === "string" ? `${encode(name)}=${encode(value)}` : undefined;
  });
  if (method !== "GET" || pairs.includes(undefined)) return undefined;
  const target = pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
  const lines = [`GET ${target} HTTP/1.1`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)];
  const hasControls = lines.some((line) => /[^\t\x20-\x7e]/.test(line));
  return hasControls ? undefined : `${lines.join("\r\n")}\r\n\r\n`;
}

/** As the signature has it: all but unreserved characters (RFC 3986). */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
