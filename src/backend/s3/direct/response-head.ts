/** Status line and headers of an HTTP/1.1 response (RFC 9112). */
export interface ResponseHead {
  readonly statusCode: number;
  /** Names in lower case; values of repeated ones joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined when only reading on tells where the body ends (chunked, or until the connection closes). */
  readonly bodyLengthBytes: number | undefined;
  /** Another request may follow on this connection. */
  readonly keepsAlive: boolean;
}

/** What ends the head. */
export const HEAD_END = "\r\n\r\n";
const STATUS_LINE = /^HTTP\/1\.1 ([1-5]\d\d)(?: |$)/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;

/**
 * Parses what comes before {@link HEAD_END}. Undefined for anything that is not plainly HTTP/1.1: whoever asked has
 * Node's parser to turn to, which knows all that servers have ever sent.
 */
export function parseResponseHead(text: string): ResponseHead | undefined {
  const [statusLine = "", ...lines] = text.split("\r\n");
  const statusCode = Number(STATUS_LINE.exec(statusLine)?.[1]);
  if (Number.isNaN(statusCode)) return undefined;
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [, name, value] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    const known = headers[key];
    headers[key] = known === undefined ? value : `${known}, ${value}`;
  }
  const keepsAlive = !/\bclose\b/i.test(headers.connection ?? "");
  return { statusCode, headers, bodyLengthBytes: bodyLengthOf(statusCode, headers), keepsAlive };
}

function bodyLengthOf(statusCode: number, headers: Readonly<Record<string, string>>): number | undefined {
  if (statusCode < 200 || statusCode === 204 || statusCode === 304) return 0;
  const length = headers["content-length"];
  if (headers["transfer-encoding"] !== undefined || length === undefined || !/^\d{1,15}$/.test(length))
    return undefined;
  return Number(length);
}
